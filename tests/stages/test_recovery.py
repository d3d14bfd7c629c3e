"""A training that was killed after its last step is not done again; nothing else is taken for a finished one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from judgeloop.jsonl import write_rows_atomically
from judgeloop.records import Candidate
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.seals import sealed
from judgeloop.run.stage import Artifact, Frozen, Step
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from judgeloop.stages.generation import ANCHORS
from judgeloop.training import preference
from judgeloop.training.early_stopping import Compared

from .test_training import Prepared, model, pair  # noqa: F401


class Killed(BaseException):
    """Stands for a SIGKILL."""


def kill(*_: object, **__: object) -> Any:
    raise Killed


def at_the_checkpoints_removal(patch: pytest.MonkeyPatch) -> None:
    remove = shutil.rmtree

    def until_finished(path: Path, ignore_errors: bool = False) -> None:
        if Path(path).name == "checkpoints" and Path(path).with_name("finished.json").exists():
            raise Killed
        remove(path, ignore_errors)

    patch.setattr(shutil, "rmtree", until_finished)


def at_the_record(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("judgeloop.stages.training.sealed", kill)


def at_the_move(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "rename", kill)


def at_the_end_of_the_move(patch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink

    def until_finished(self: Path, missing_ok: bool = False) -> None:
        if self.name == "finished.json" and (self.parent / "model").exists():
            raise Killed
        unlink(self, missing_ok)

    patch.setattr(Path, "unlink", until_finished)


def at_the_marker(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RunDirectory, "finish", kill)


def train(stage: Prepared) -> None:
    run_stage(stage.context)


MOMENTS = [at_the_checkpoints_removal, at_the_record, at_the_move, at_the_end_of_the_move, at_the_marker]


@pytest.fixture
def stage(tmp_path: Path, model: Path) -> Prepared:  # noqa: F811
    return Prepared(tmp_path, model)


def killed(stage: Prepared, moment: Callable[[pytest.MonkeyPatch], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        moment(patch)
        with pytest.raises(Killed):
            train(stage)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_finished_model_outlives_a_kill_before_its_done_marker(
    stage: Prepared, monkeypatch: pytest.MonkeyPatch, moment: Callable[[pytest.MonkeyPatch], None]
) -> None:
    killed(stage, moment)
    folder = stage.run.path / "M2"
    metrics = (stage.run.path / "metrics.jsonl").read_bytes()
    place = folder / ("model" if (folder / "model").exists() else "model.partial")
    before = sealed(place)
    monkeypatch.setattr(preference, "train_preference", lambda *_, **__: pytest.fail("trained again"))
    train(stage)
    made = read_json(folder / "train.json")
    assert made["hash"] == before["hash"] == sealed(folder / "model")["hash"]
    assert (made["rows"], made["reference"]["name"]) == (4, "M1")
    assert read_json(stage.run.marker(stage.run.steps["M2/train"], "done"))["rows"] == 4
    assert (stage.run.path / "metrics.jsonl").read_bytes() == metrics
    assert {path.name for path in folder.iterdir()} & {"model.partial", "finished.json", "checkpoints"} == set()


def harm(folder: Path) -> None:
    weights = folder / "model" / "model.safetensors"
    weights.write_bytes(bytes(weights.stat().st_size))


def lose_the_record(folder: Path) -> None:
    (folder / "train.json").unlink()


def half_written(folder: Path) -> None:
    (folder / "model").rename(folder / "model.partial")
    (folder / "train.json").unlink()


@pytest.mark.parametrize("change", [harm, lose_the_record, half_written])
def test_what_is_not_surely_the_finished_model_is_trained_again(
    stage: Prepared, change: Callable[[Path], None]
) -> None:
    killed(stage, at_the_marker)
    folder = stage.run.path / "M2"
    first = read_json(folder / "train.json")
    change(folder)
    harmed = (folder / "model" / "model.safetensors").stat().st_ino if (folder / "model").exists() else None
    train(stage)
    again = read_json(folder / "train.json")
    assert again["hash"] == first["hash"] == sealed(folder / "model")["hash"]
    assert (folder / "model" / "model.safetensors").stat().st_ino != harmed


def test_the_kept_checkpoint_is_there_until_the_training_counts_as_finished(
    tmp_path: Path,
    model: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Early stopping keeps the last weights that won, which it must not lose on their way to the model's folder."""
    training = {
        "precision": "f32", "batch_size": 1, "learning_rate": 1e-3, "checkpoint_steps": 1,
        "early_stopping": {"every": 1, "prompts": 2},
    }  # fmt: skip
    stage = Prepared(tmp_path, model, train=training)

    def first_two_win(_folder: Path, step: int, _against: int) -> Compared:
        return Compared(2, 0, 0, 0) if step < 3 else Compared(0, 0, 2, 0)

    monkeypatch.setattr("judgeloop.stages.training.checkpoint_judge", lambda _context: first_two_win)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preference, "record_finished", kill)
        with pytest.raises(Killed):
            train(stage)
    train(stage)
    made = read_json(stage.run.path / "M2" / "train.json")
    assert (made["kept_step"], made["stopped_at"]) == (2, 3)


@pytest.mark.parametrize("foreign", [True, False])
def test_token_ids_of_a_users_model_are_not_trained_on(
    stage: Prepared, monkeypatch: pytest.MonkeyPatch, foreign: bool
) -> None:
    """Its vocabulary may be another: the same numbers would be other words."""
    rows = [
        Candidate("c0.1", "p0", "No.", [400, 401], "stop"),
        Candidate("c1.1", "p1", "No, and", [402, 403], "length"),
    ]
    write_rows_atomically(stage.run.path / "M2" / "anchors.jsonl", rows)
    stage.write([pair(0), pair(1, rejected=[{"role": "assistant", "content": "No, and"}])])
    anchor = Frozen("a/model") if foreign else Artifact("M0/model", "model.json")
    step = stage.run.steps["M2/train"]
    given = {**step.given, "anchors": (Artifact("M2/anchors", "anchors.jsonl"),)}
    stage.run.steps["M2/anchors"] = Step("M2", ANCHORS, (), {"anchor": (anchor,)})
    trained: list[Any] = []
    tokenised = preference._tokenised

    def noted(*arguments: Any) -> Any:
        found = tokenised(*arguments)
        trained.extend(found.examples)
        raise Killed

    monkeypatch.setattr(preference, "_tokenised", noted)
    with pytest.raises(Killed):
        step.stage.run(Context(stage.run, Step("M2", step.stage, step.keys, given), lambda *_: None))
    chat = stage.context.model("policy").chat()
    as_it_is = [[400, 401], [402, 403]]
    from_text = [chat.response_ids("No."), chat.response_ids("No, and", finished=False)]
    assert [list(example.rejected_ids) for example in trained] == (from_text if foreign else as_it_is)


def test_a_run_without_leftovers_recovers_nothing(stage: Prepared) -> None:
    recover = stage.context.step.stage.recover
    assert recover is not None
    assert recover(stage.context) is None
    shutil.copytree(stage.run.path / "M1" / "model", stage.run.path / "M2" / "model.partial")
    assert recover(stage.context) is None
