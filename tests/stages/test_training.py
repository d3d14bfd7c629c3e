"""The training stage in a run directory: what can be wrong there, and the judge of its checkpoints."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from judgeloop.compute.local import run_child
from judgeloop.compute.torchrun import command
from judgeloop.config import Config, parse
from judgeloop.errors import InputError, JudgeloopError, StageFailed
from judgeloop.jsonl import read_objects
from judgeloop.loop import method
from judgeloop.pairs import SAME_TEXT, TOO_FEW_FINISHED, WITHIN_MARGIN
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.checkpoint_judge import checkpoint_judge
from judgeloop.stages.context import Context, evaluation_prompts
from tiny import make_tiny_model

PAIRS = 4


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def pair(index: int, **changes: Any) -> dict[str, Any]:
    row = {
        "id": f"pair-{index}", "prompt_id": f"p{index}", "prompt": [{"role": "user", "content": f"Say {index}."}],
        "chosen": said(f"The number {index}."), "rejected": said("No."), "chosen_id": f"c{index}.0",
        "rejected_id": f"c{index}.1", "chosen_score": 4.0, "rejected_score": 1.0, **changes,
    }  # fmt: skip
    return {name: value for name, value in row.items() if value is not None}


class Prepared:
    """A run directory that stands before M2/train."""

    def __init__(self, folder: Path, model: Path, **changes: Any) -> None:
        (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"What is {k}?"}) + "\n" for k in range(5)))
        (folder / "script.jsonl").write_text(
            '{"match": "(?s)two responses|Response A|A or B", "scores": [0.9, 0.1]}\n'
            '{"match": "(?s).", "reply": ["Fine."], "scores": [0.9, 0.1]}\n'
        )
        tree = {
            "model": str(model), "threads": 1, "iterations": 1,
            "engine": {"kind": "scripted", "script": str(folder / "script.jsonl")},
            "seed_data": {"ift": str(folder / "prompts.jsonl")},
            "train": {"precision": "f32", "batch_size": 2, "learning_rate": 1e-3},
            "evaluation": {"prompts": str(folder / "prompts.jsonl"), "sampling": {"max_new_tokens": 4}},
            **changes,
        }  # fmt: skip
        self.config: Config = parse(tree, "config")
        out = folder / "run"
        self.run = RunDirectory.prepare(out, self.config, method(self.config))
        describe(self.run)
        for name in ("M0", "M1", "M2"):
            (out / name).mkdir()
        write_json(out / "M0" / "model.json", {"path": str(model), "hash": "sha256:0"})
        shutil.copytree(model, out / "M1" / "model")
        write_json(out / "M1" / "train.json", {"name": "M1", "hash": "sha256:1"})
        (out / "M1" / "held_out.jsonl").write_text("")
        (out / "M2" / "candidates.jsonl").write_text("")
        self.pairs = out / "M2" / "pairs.jsonl"
        self.write([pair(index) for index in range(PAIRS)])

    def write(self, rows: list[dict[str, Any]]) -> None:
        self.pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))

    @property
    def context(self) -> Context:
        return Context(self.run, self.run.steps["M2/train"], lambda *_: None)

    def refused(self, kind: type[JudgeloopError]) -> str:
        """Train, and return the error's one line; nothing of the run may have changed but what was begun."""
        before = {
            path: path.read_bytes() for path in self.run.path.rglob("*") if path.is_file() and path.name[0] != "."
        }
        with pytest.raises(kind) as found:
            run_stage(self.context)
        assert {path: path.read_bytes() for path in before} == before
        left = {path.name for path in (self.run.path / "M2").iterdir()}
        assert left <= {"candidates.jsonl", "pairs.jsonl", "pairs.json", "agreed.jsonl", "agreed.json",
                        ".train.begun.json", ".train.spent.json", "checkpoints",
                        "reference.json"}  # fmt: skip
        assert not self.run.marker(self.run.steps["M2/train"], "done").exists()
        message = str(found.value)
        assert "\n" not in message
        return message


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


Make = Callable[..., Prepared]


@pytest.fixture
def prepare(tmp_path: Path, model: Path) -> Make:
    return lambda **changes: Prepared(tmp_path, model, **changes)


def test_a_pair_without_rejected_is_named_by_its_line(prepare: Make) -> None:
    stage = prepare()
    stage.write([pair(0), pair(1, rejected=None)])
    assert "pairs.jsonl:2: a PreferencePair row without 'rejected'" in stage.refused(InputError)
    assert InputError.exit_code == 2


def test_no_pairs_at_all(prepare: Make) -> None:
    stage = prepare()
    stage.write([])
    assert "no preference pair to train on; lower pairs.margin" in stage.refused(InputError)  # the account is gone
    reasons = {TOO_FEW_FINISHED: 150, WITHIN_MARGIN: 8, SAME_TEXT: 1}
    account = {"prompts": 200, "with_pair": 0, "pairs": 0, "ties": 41, "dropped": reasons, "below_top_share": 0}
    account |= {"chosen_mean_characters": None, "rejected_mean_characters": None}
    write_json(stage.pairs.with_name("pairs.json"), account)
    message = stage.refused(InputError)
    assert f"of 200 prompts 150 {TOO_FEW_FINISHED}, 41 tie, 8 within the margin, 1 for other reasons; " in message
    assert "raise candidates.sampling.max_new_tokens (answers were cut off)" in message
    assert "margin, or raise" not in message


def test_no_pair_on_which_the_implicit_reward_agrees(prepare: Make) -> None:
    stage = prepare(pairs={"implicit": True})
    stage.pairs.with_name("agreed.jsonl").write_text("")
    write_json(stage.pairs.with_name("agreed.json"), {"made": 4, "pairs": 0, "disagree": 4, "equal": 0})
    assert "on none of the 4 pairs does the implicit reward agree with the judge; set pairs.implicit: false" in (
        stage.refused(InputError)
    )


def test_chosen_equal_to_rejected_everywhere(prepare: Make) -> None:
    stage = prepare()
    stage.write([pair(index, rejected=said(f"The number {index}.")) for index in range(PAIRS)])
    message = stage.refused(InputError)
    assert f"no preference pair left of {PAIRS}" in message
    assert f"'chosen equals rejected': {PAIRS}" in message


def in_child(stage: Prepared) -> list[dict[str, Any]]:
    """Run the step as the driver does, and return what it said."""
    events: list[dict[str, Any]] = []
    stage.run.close()
    worker = ["judgeloop.run.worker", str(stage.run.path), "M2/train"]
    run_child(command(stage.run.config.compute.processes, 0, worker), stage.run.path / "logs" / "log",
              lambda event: events.append(dict(event)), environment={"OMP_NUM_THREADS": "1"})  # fmt: skip
    return events


def test_two_processes_make_one_step(prepare: Make) -> None:
    stage = prepare(compute={"processes": 2})
    events = in_child(stage)
    assert [event["done"] for event in events] == [0, 1, 2]  # one process speaks
    made = read_json(stage.run.path / "M2" / "train.json")
    assert (made["rows"], made["steps"]) == (PAIRS, 2)
    rows = [row for _, row in read_objects(stage.run.path / "metrics.jsonl")]
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[0]["dpo_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert stage.run.state(stage.run.steps["M2/train"]) == "done"


def test_where_training_fails_in_two_processes_both_end_and_the_reason_is_said(prepare: Make) -> None:
    stage = prepare(
        compute={"processes": 2}, train={"precision": "f32", "batch_size": 2, "learning_rate": 1e30, "warmup": 0.0}
    )
    with pytest.raises(StageFailed, match="lower the learning rate"):
        in_child(stage)
    assert not (stage.run.path / "M2" / "model").exists()


def test_a_response_that_is_no_message(prepare: Make) -> None:
    stage = prepare()
    stage.write([pair(0, rejected=[{"role": "user", "content": "No."}])])
    assert "pair-0: the response is not one assistant message" in stage.refused(InputError)


def test_a_loss_that_is_no_number(prepare: Make) -> None:
    stage = prepare(train={"precision": "f32", "batch_size": 1, "learning_rate": 1e30, "warmup": 0.0})
    assert "lower the learning rate" in stage.refused(StageFailed)
    assert StageFailed.exit_code == 1


def test_four_bits_without_a_gpu(prepare: Make) -> None:
    message = prepare(train={"method": "qlora"}).refused(InputError)
    assert "qlora needs" in message


def test_the_stage_trains_what_it_is_given(prepare: Make) -> None:
    stage = prepare()
    stage.write([pair(0), pair(1), pair(2, rejected=said("The number 2."))])
    run_stage(stage.context)
    made = read_json(stage.run.path / "M2" / "train.json")
    assert (made["rows"], made["dropped"]) == (2, {"chosen equals rejected": 1})
    assert (made["initial"]["name"], made["reference"]["name"]) == ("M1", "M1")
    assert (stage.run.path / "M2" / "model" / "model.safetensors").exists()
    assert stage.run.state(stage.run.steps["M2/train"]) == "done"


def test_what_became_of_the_chosen_answers_is_in_the_record(prepare: Make) -> None:
    """The mean change of their log-likelihood over the last quarter of the steps: two of eight."""
    stage = prepare(train={"precision": "f32", "batch_size": 2, "learning_rate": 1e-3, "epochs": 4})
    run_stage(stage.context)
    rows = [row for _, row in read_objects(stage.run.path / "metrics.jsonl") if row["stage"] == "train"]
    changes = [row["chosen_change"] for row in rows]
    assert len(changes) == 8
    assert changes[0] == pytest.approx(0, abs=0.05)
    assert read_json(stage.run.path / "M2" / "train.json")["chosen_change"] == pytest.approx(
        sum(changes[-2:]) / 2, abs=1e-3
    )
    assert abs(changes[-1]) > 0.1


def test_checkpoints_are_judged_on_held_out_prompts_in_both_orders(prepare: Make, tmp_path: Path) -> None:
    """A judge that always prefers the first response contradicts itself: ties, so the newer one has not won."""
    stage = prepare(
        train={"precision": "f32", "batch_size": 2, "learning_rate": 1e-3,
               "early_stopping": {"every": 1, "prompts": 3}},
        evaluation={"prompts": str(tmp_path / "prompts.jsonl"), "count": 2, "sampling": {"max_new_tokens": 4}},
    )  # fmt: skip
    judge = checkpoint_judge(stage.context)
    assert judge is not None
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(stage.run.path / "M1" / "model", checkpoints / "judged-1")
    found = judge(checkpoints / "judged-1", 1, 0)
    assert (found.win, found.tie, found.lose, found.unparsed) == (0, 3, 0, 0)
    rows = [json.loads(line) for line in (checkpoints / "comparisons.1.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert {row["better"] for row in rows} == {"first"}
    evaluated = {prompt.id for prompt in evaluation_prompts(stage.context)}
    judged = {json.loads(line)["prompt_id"] for line in (checkpoints / "responses.1.jsonl").read_text().splitlines()}
    assert len(judged) == 3
    assert len(evaluated) == 2
    assert not judged & evaluated
    for step in (0, 1):
        assert len((checkpoints / f"responses.{step}.jsonl").read_text().splitlines()) == 3
    run_stage(stage.context)
    made = read_json(stage.run.path / "M2" / "train.json")
    assert (made["steps"], made["stopped_at"], made["kept_step"]) == (1, 1, 0)
    assert "0 wins, 3 ties, 0 losses" in made["why"]
    assert not (stage.run.path / "M2" / "checkpoints").exists()


def test_without_held_out_prompts_early_stopping_is_refused(prepare: Make) -> None:
    stage = prepare(train={"early_stopping": {"every": 1, "prompts": 500}})
    assert "500 held-out prompts are wanted that no model is evaluated on" in stage.refused(InputError)
