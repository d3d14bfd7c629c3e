"""EFT rows of a model's own answers, in a run directory: made, cut off, trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import parse
from judgeloop.eft.contrast_rows import LOW_SCORE, NOT_CLEAR, PER_PROMPT
from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects, read_rows, to_line
from judgeloop.loop import method
from judgeloop.records import Candidate, Judgement, Prompt, SupervisedRow
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.fingerprints import settings
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from tiny import make_tiny_model

RULES = ("in capitals", "without commas")
TOPICS = ("rain", "bread", "owls", "chess")
PROMPTS = [
    Prompt.of([{"role": "user", "content": f"Write about {t} {rule}."}], "test") for t in TOPICS for rule in RULES
]
CANDIDATES = [
    Candidate(f"M2.{prompt.id}.{k}", prompt.id, f"{what} {prompt.messages[0]['content']}", [50 + k, 2], "stop")
    for prompt in PROMPTS for k, what in enumerate(("Breaks", "Keeps"))
]  # fmt: skip
# The judge sees whether an answer keeps the rule that was asked for, but for owls, of which it likes everything.
SCRIPT = [
    {"match": "(?s)<response>Keeps.*request: Write about owls", "scores": [0, 0, 0, 0, 1, 0]},
    *(
        {"match": f"(?s)<response>Keeps[^<]*{rule}.*request: .*{rule}", "scores": [0, 0, 0, 0, 0.8, 0.2]}
        for rule in RULES
    ),
    {"match": "(?s)<response>Keeps", "scores": [0, 0, 0.8, 0.2, 0, 0]},
    {"match": "(?s).", "scores": [0, 1, 0, 0, 0, 0], "reply": ["Fine."]},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


class Prepared:
    """A run directory that stands before M2/judge."""

    def __init__(self, folder: Path, model: Path, **refresh: Any) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "seed.jsonl").write_text('{"prompt": "Why?", "response": "So."}\n')
        (folder / "script.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in SCRIPT))
        tree = {
            "model": str(model), "threads": 1, "iterations": 1,
            "engine": {"kind": "scripted", "script": str(folder / "script.jsonl")},
            "seed_data": {"ift": str(folder / "seed.jsonl")},
            "judge": {"rubric": "additive-5-short", "refresh": {"enabled": True, **refresh}},
            "train": {"precision": "f32", "batch_size": 4, "max_length": 2000, "refresh_replay": 0.5},
        }  # fmt: skip
        config = parse(tree, "config")
        self.run = RunDirectory(folder / "run", config, method(config))
        self.folder = self.run.folder("M2")
        self.folder.mkdir(parents=True)
        describe(self.run)
        for name in ("M0", "M1"):
            self.run.folder(name).mkdir()
        write_json(self.run.folder("M0") / "model.json", {"name": "M0", "path": str(model), "hash": "h0"})
        write_json(self.run.folder("M1") / "train.json", {"hash": "h1"})
        (self.run.folder("M1") / "model").symlink_to(model)
        (self.folder / "prompts.jsonl").write_text("".join(map(to_line, PROMPTS)), encoding="utf-8")
        (self.folder / "candidates.jsonl").write_text("".join(map(to_line, CANDIDATES)), encoding="utf-8")

    def make(self, *stages: str) -> dict[str, Any]:
        """Carry the stages out, and return what the last one's marker says."""
        for stage in stages:
            run_stage(Context(self.run, self.run.steps[f"M2/{stage}"], lambda *_: None))
        return read_json(self.run.marker(self.run.steps[f"M2/{stages[-1]}"], "done"))

    def rows(self) -> list[SupervisedRow]:
        return read_rows(self.folder / "refresh.jsonl", SupervisedRow)


def test_own_answers_beside_the_nearest_prompt_become_rows_and_are_trained_on(model: Path, tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, model)
    marker = prepared.make("judge", "refresh")
    rows, account = prepared.rows(), read_json(prepared.folder / "refresh.json")
    asked = {prompt.id: prompt.messages[0]["content"] for prompt in PROMPTS}
    assert len(rows) == 12  # three topics of four, two prompts each, two rows each
    for right, wrong in zip(rows[::2], rows[1::2], strict=True):
        assert (right.completion[0]["content"], wrong.completion[0]["content"]) == ("Score: 4", "Score: 1")
        own, other = asked[right.prompt_id], asked[wrong.prompt_id]
        assert own.split()[2] == other.split()[2]  # the same topic with the other rule
        assert own != other
        assert f"<response>Keeps {own}" in right.prompt[0]["content"]
        assert f"<response>Keeps {own}" in wrong.prompt[0]["content"]
        assert {right.kind, wrong.kind} == {"eft"}
    assert account["dropped"] == {LOW_SCORE: 8, NOT_CLEAR: 2}
    assert (account["judge"], account["answers"], account["asked"], account["rows"]) == ("M1", 16, 8, 12)
    assert account["scores"] == [0, 6, 0, 0, 6, 0]
    assert account["mean_own_score"] == pytest.approx((6 * 4.2 + 2 * 4) / 8)
    assert account["mean_other_score"] == pytest.approx((6 * 2.2 + 2 * 4) / 8)
    assert marker["yields"][0] == "12 rows of 16 answers, 8 set beside another prompt"
    judgements = read_rows(prepared.folder / "refresh.judgements.jsonl", Judgement)
    assert len(judgements) == 8
    assert all("@" in row.candidate_id for row in judgements)
    prepared.make("pairs", "train")
    trained = read_json(prepared.folder / "train.json")
    steps = [row for _, row in read_objects(prepared.run.path / "metrics.jsonl") if row.get("stage") == "train"]
    assert trained["replayed"] == 4 * trained["steps"] > 0
    assert steps
    assert all(row["refresh_loss"] > 0 for row in steps)


def test_a_stage_that_was_cut_off_ends_with_the_same_rows(model: Path, tmp_path: Path) -> None:
    whole, cut = Prepared(tmp_path / "whole", model), Prepared(tmp_path / "cut", model)
    whole.make("judge", "refresh")
    cut.make("judge")
    lines = (whole.folder / "refresh.judgements.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (cut.folder / "refresh.judgements.jsonl").write_text("".join(lines[:3]) + lines[3][:20], encoding="utf-8")
    cut.make("refresh")
    for name in ("refresh.jsonl", "refresh.json"):
        assert (cut.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_an_iteration_without_a_row_is_said_and_trained_without(model: Path, tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, model, min_gap=4.0, per_prompt=2, min_score=2.0)
    marker = prepared.make("judge", "refresh")
    assert prepared.rows() == []
    assert read_json(prepared.folder / "refresh.json")["dropped"] == {LOW_SCORE: 8, NOT_CLEAR: 8}
    assert "there is no row, so this training goes without" in marker["yields"][-1]
    prepared.make("pairs", "train")
    steps = [row for _, row in read_objects(prepared.run.path / "metrics.jsonl") if row.get("stage") == "train"]
    assert steps
    assert not any("refresh_loss" in row for row in steps)


def test_it_is_off_by_default_and_then_changes_nothing() -> None:
    def steps(**judge: Any) -> Any:
        config = parse({"seed_data": {"ift": "seed.jsonl"}, **({"judge": judge} if judge else {})}, "test")
        return config, {step.name: step for step in method(config)}

    plain, without = steps()
    on, refreshed = steps(refresh={"enabled": True})
    assert set(refreshed) - set(without) == {"M2/refresh", "M3/refresh"}
    assert refreshed["M3/refresh"].inputs == ("M2/train", "M3/prompts", "M3/candidates", "M3/judge")
    assert refreshed["M3/train"].given["refresh"] == (refreshed["M3/refresh"].as_input(),)
    for name, step in without.items():
        said = settings(step, plain)
        assert not any("refresh" in key or "eft.contrast" in key for key in said), name
        if not name.endswith(("/train", "/rows")):
            assert settings(refreshed[name], on) == said, name


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ({"function": "score.py", "refresh": {"enabled": True}}, "function is no model"),
        ({"scoring": "sampled", "refresh": {"enabled": True}}, "sft.eft_loss: score teaches it the score alone"),
    ],
)
def test_what_does_not_fit_is_refused(judge: dict[str, Any], message: str) -> None:
    tree = {"seed_data": {"ift": "x.jsonl"}, "judge": judge, "sft": {"eft_loss": "score"}}
    with pytest.raises(InputError, match=message):
        parse(tree, "test")


def test_a_score_off_the_rubrics_scale_is_refused_before_anything_is_trained(model: Path, tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, model, negative_score=6, min_score=7)
    context = Context(prepared.run, prepared.run.steps["M1/rows"], lambda *_: None)
    for name in ("ift", "eft", "held_out"):
        (prepared.run.folder("M1") / f"{name}.jsonl").write_text("")
    with pytest.raises(InputError, match=r"judge\.refresh\.negative_score: 6 is no score of the rubric"):
        run_stage(context)


def test_the_counts_above_a_prompts_share_are_told(model: Path, tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, model, min_score=1.0, negative_score=0)
    prepared.make("judge", "refresh")
    assert read_json(prepared.folder / "refresh.json")["dropped"][PER_PROMPT] == 8
