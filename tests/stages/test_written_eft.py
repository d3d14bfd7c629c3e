"""EFT rows written by a model, in a run directory: what each step leaves, and what is made anew when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import Config, parse
from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects, read_rows
from judgeloop.judging.parse_score import parse_score
from judgeloop.loop import method
from judgeloop.records import Judgement, RankedSet, SupervisedRow, stable_id
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from tiny import make_tiny_model

TOPICS = ("rain", "bread", "the Moon", "cats", "trains", "tea", "maps", "owls", "soap", "chess", "snow", "drums")
RULES = [
    {"match": r"thing [0-3] about[^<]*<response>Here is", "reply": ["Weak.\n\nScore: 2", "Good. Score: 5"]},
    {"match": r"thing [0-3] about[^<]*<response>[^<]* fine", "reply": ["Fair.\n\nScore: 3", "Fair. Score: 5"]},
    {"match": r"thing [4-7] about[^<]*<response>Here is", "reply": ["Full answer.\n\nScore: 5", "Good. Score: 4"]},
    {"match": r"<response>Here is", "reply": ["No idea.", "Full. Score: 5\nI could go on."]},
    {"match": r"<response>What\?", "reply": ["Says nothing.\n\nScore: 0", "Empty.\n\nScore: 1"]},
    {"match": r"<response>[^<]*</response>", "reply": ["It is short.\n\nScore: 3", "Short.\n\nScore: 3"]},
]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


class Run:
    """A run whose steps are carried out one by one, in this process."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        rows = []
        for number, topic in enumerate(TOPICS):
            texts = (f"Here is a full answer about {topic}, {number}.", f"{topic} is fine.", "What?")
            responses = [{"text": text, "rank": rank} for rank, text in enumerate(texts)]
            rows.append({"prompt": f"Tell me thing {number} about {topic}.", "responses": responses})
        for name, objects in (("seed", rows), ("script", RULES)):
            text = "".join(json.dumps(row) + "\n" for row in objects)
            (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")

    def config(self, **eft: Any) -> Config:
        tree = {
            "model": str(self.model),
            "iterations": 0,
            "threads": 1,
            "engine": {"kind": "scripted", "script": str(self.folder / "script.jsonl")},
            "seed_data": {
                "ranked": str(self.folder / "seed.jsonl"),
                "eft_share": 1.0,
                "eft": {"source": "written", "samples": 2, "ift_overlap": True, **eft},
            },
            "sft": {"learning_rate": 1e-3, "batch_size": 8, "max_length": 2000, "precision": "f32"},
            "judge": {"scoring": "sampled", "justification": True},
        }
        return parse(tree, "test")

    def open(self, config: Config) -> RunDirectory:
        run = RunDirectory(self.folder / "run", config, method(config))
        run.path.mkdir(exist_ok=True)
        describe(run)
        return run

    def carry_out(self, config: Config, *names: str) -> RunDirectory:
        run = self.open(config)
        for name in names:
            run_stage(Context(run, run.steps[name], lambda *_: None))
        return run


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def test_a_writer_is_trained_writes_and_is_checked_against_people(tmp_path: Path, tiny_model: Path) -> None:
    made = Run(tmp_path, tiny_model)
    config = made.config(writer="sft")
    run = made.carry_out(config, "M0/model", "M1/seed", "M1/writer", "M1/written", "M1/eft")
    folder = run.folder("M1")
    writer = read(folder / "writer" / "train.json")
    assert writer["name"] == "M1/writer"
    assert writer["initial"]["name"] == "M0"
    assert writer["rows"] == len(read_rows(folder / "ift.jsonl", SupervisedRow)) == 9
    assert read(folder / "eft.written.json")["writer"]["hash"] == writer["hash"] != writer["initial"]["hash"]
    assert (folder / "writer" / "model" / "model.safetensors").is_file()
    assert not (folder / "model").exists()
    assert {(row["model"], row["stage"]) for _, row in read_objects(run.path / "metrics.jsonl")} == {("M1", "writer")}
    check_rows(folder)
    assert run.stale(run.steps.values()) == []
    assert run.changed_by_hand(run.steps.values()) == []

    moved, where = run.supersede([run.steps["M1/writer"]])
    assert [step.name for step in moved] == ["M1/writer", "M1/written", "M1/eft"]
    assert {p.name for p in (where / "M1").iterdir()} >= {
        "writer",
        "eft.written.jsonl",
        "eft.written.json",
        "eft.jsonl",
    }
    assert {p.name for p in folder.iterdir()} == {
        "ift.jsonl", "held_out.jsonl", "eft_sets.jsonl", "eft_given.jsonl", "seed.json", ".seed.done.json",
    }  # fmt: skip
    assert read_rows(run.path / "metrics.jsonl", Judgement) == []


def check_rows(folder: Path) -> None:
    """The rows, recomputed from what stands there: of each set all responses or none, in people's order."""
    sets = read_rows(folder / "eft_sets.jsonl", RankedSet)
    rows = read_rows(folder / "eft.jsonl", SupervisedRow)
    account = {**read(folder / "seed.json"), **read(folder / "eft.json")}
    found = account["eft_written"]
    assert found["sets"] == len(sets) == account["eft_sets"] == 9
    assert found["written"] == len(read_rows(folder / "eft.written.jsonl", Judgement)) == 9 * 3 * 2
    ways = [found[f"agreed_{name}"] for name in ("first", "later", "combined")]
    assert sum(ways) + found["disagreed"] + found["tied"] + found["unparseable"] == 9
    assert all(ways)
    assert account["eft"] == found["kept"] == len(rows) == sum(account["eft_scores"])
    score: dict[tuple[str, str], float] = {}
    for row in rows:
        value = parse_score(row.completion[0]["content"]).value
        assert value is not None
        judged = row.prompt[0]["content"].split("<response>")[1].split("</response>")[0]
        score[row.prompt_id, judged] = value
    kept = {prompt for prompt, _ in score}
    assert len(kept) == sum(ways)
    for ranked in sets:
        name = stable_id("p", ranked.messages)
        if name in kept:
            best, middle, worst = (score[name, response["text"]] for response in ranked.responses)
            assert best > middle > worst
    held_out = {stable_id("p", ranked.messages) for ranked in read_rows(folder / "held_out.jsonl", RankedSet)}
    assert len(held_out) == 3
    assert kept.isdisjoint(held_out)


def test_the_choice_among_judgements_and_their_resumption(tmp_path: Path, tiny_model: Path) -> None:
    made = Run(tmp_path, tiny_model)
    config = made.config(writer="M0")
    run = made.carry_out(config, "M0/model", "M1/seed", "M1/written", "M1/eft")
    folder = run.folder("M1")
    log = (folder / "eft.written.jsonl").read_bytes()
    whole = read_rows(folder / "eft.jsonl", SupervisedRow)
    assert read(folder / "eft.written.json")["writer"] == run.identity("M0")

    fewer = made.config(writer="M0", max_rows=5)
    run = made.open(fewer)
    stale = run.stale(run.steps.values())
    assert [(one.step.name, one.why) for one in stale] == [("M1/eft", "seed_data.eft.max_rows was null, is 5")]
    run.supersede([run.steps["M1/eft"]])
    assert not (folder / "eft.jsonl").exists()
    run = made.carry_out(fewer, "M1/eft")
    assert (folder / "eft.written.jsonl").read_bytes() == log
    assert len(read_rows(folder / "eft.jsonl", SupervisedRow)) == read(folder / "eft.json")["eft"] == 5

    # Killed in the middle of a judgement: the step goes on behind the last whole one.
    (folder / ".written.done.json").rename(folder / ".written.begun.json")
    (folder / "eft.written.jsonl").write_bytes(log[: len(log) // 2])
    assert run.state(run.steps["M1/written"]) == "begun"
    made.carry_out(config, "M1/written", "M1/eft")
    again = (folder / "eft.written.jsonl").read_bytes()
    assert again.startswith(log[: log.rfind(b"\n", 0, len(log) // 2) + 1])
    assert sorted(again.splitlines()) == sorted(log.splitlines())
    assert read_rows(folder / "eft.jsonl", SupervisedRow) == whole


def test_a_folder_may_write_and_no_agreement_at_all_is_an_error(tmp_path: Path, tiny_model: Path) -> None:
    made = Run(tmp_path, tiny_model)
    (tmp_path / "script.jsonl").write_text(json.dumps({"match": "", "reply": "Score: 3"}) + "\n")
    other = make_tiny_model(tmp_path / "other", seed=5)
    config = made.config(writer=str(other))
    run = made.carry_out(config, "M0/model", "M1/seed", "M1/written")
    assert read(run.folder("M1") / "eft.written.json")["writer"]["path"] == str(other)
    with pytest.raises(InputError, match=r"no row is left of 54 judgements .*9 with a response that no readable"):
        made.carry_out(config, "M1/eft")
    assert read(run.folder("M1") / "eft.json")["eft_written"]["unparseable"] == 9


def test_a_writer_of_its_own_needs_ift_rows(tmp_path: Path, tiny_model: Path) -> None:
    made = Run(tmp_path, tiny_model)
    config = made.config(writer="sft", ift_overlap=False)
    made.carry_out(config, "M0/model", "M1/seed")
    with pytest.raises(InputError, match="sft is trained on IFT rows and there are none"):
        made.carry_out(config, "M1/writer")


def test_rows_of_files_stand_before_the_written_ones(tmp_path: Path, tiny_model: Path) -> None:
    made = Run(tmp_path, tiny_model)
    mine = {"prompt": "Grade: 1+1 is 3.", "completion": "Wrong.\n\nScore: 0", "kind": "eft"}
    (tmp_path / "mine.jsonl").write_text(json.dumps(mine) + "\n")
    tree = made.config(writer="M0").model_dump()
    tree["seed_data"]["eft_files"] = [str(tmp_path / "mine.jsonl")]
    run = made.carry_out(parse(tree, "test"), "M0/model", "M1/seed", "M1/written", "M1/eft")
    rows = read_rows(run.folder("M1") / "eft.jsonl", SupervisedRow)
    account = {**read(run.folder("M1") / "seed.json"), **read(run.folder("M1") / "eft.json")}
    assert rows[0].completion == [{"role": "assistant", "content": "Wrong.\n\nScore: 0"}]
    assert account["eft"] == len(rows) == account["eft_written"]["kept"] + 1
    assert (account["eft_given"], account["eft_unchecked"]) == (1, 1)
    assert "M1/sft" in run.steps
    assert run.steps["M1/sft"].inputs[-1] == "M1/eft"
