"""A model plays a role as it was made or not at all; what is gone is made anew only by the user's word."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from judgeloop.cli import app
from judgeloop.config import parse
from judgeloop.errors import InputError
from judgeloop.loop import method
from judgeloop.run import driver, stopping
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.seals import sealed
from judgeloop.run.stage import Step


class Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None


HEALTH = dict.fromkeys(("parse_rate", "tie_rate", "top_share", "length_correlation")) | {"judgements": 0}


def write_model(folder: Path, weights: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "generation_config.json").write_text("{}")
    (folder / "model.safetensors").write_text(weights)


def make(run: RunDirectory, step: Step) -> None:
    """What a stage leaves: rows, or a model with its record, and the done-marker."""
    run.folder(step.model).mkdir(parents=True, exist_ok=True)
    run.begin(step)
    if step.weights:
        write_model(run.weights(step), step.name)
        run.record(step).write_text(json.dumps(sealed(run.weights(step))))
    elif step.weights == "":
        base = run.path.parent / "base"
        write_model(base, "M0")
        run.artifact(step.name).write_text(json.dumps({"path": str(base), "date": "2031-01-01", **sealed(base)}))
    else:
        for name in step.writes:
            said = {"health": HEALTH, "judge_health": HEALTH, "metrics": {}, "model": step.model, "judge": "M1",
                    "win_rate_vs_previous": None}  # fmt: skip
            (run.folder(step.model) / name).write_text(json.dumps(said))
    run.finish(step, 1.0, {})


class Whole:
    """A finished run of two iterations, and what the driver carries out when it is started again."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, **tree: Any) -> None:
        self.config = parse({"seed_data": {"ift": "seed.jsonl"}, "evaluation": {"base": False}, **tree}, "test")
        self.run = RunDirectory(path / "run", self.config, method(self.config))
        self.run.path.mkdir()
        describe(self.run)
        for step in self.run.steps.values():
            make(self.run, step)
        self.made: list[str] = []
        monkeypatch.setattr(driver, "_carry_out", self.carry_out)
        monkeypatch.setattr(driver, "write_reports", lambda _out: None)

    def carry_out(self, run: RunDirectory, step: Step, *_: object) -> None:
        self.made.append(step.name)
        make(run, step)

    def again(self, *redo: str) -> list[str]:
        self.made.clear()
        driver.execute(self.config, self.run.path, Silent(), redo)
        return self.made

    def reopen(self, *names: str) -> None:
        """As if the run had been killed before these steps."""
        for name in names:
            self.run.marker(self.run.steps[name], "done").unlink()

    def model(self, name: str) -> Path:
        return self.run.path / name / "model"


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Whole:
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))
    return Whole(tmp_path, monkeypatch)


def zeros(folder: Path) -> None:
    """The weights' bytes are gone and everything else about the file is as it was."""
    file = folder / "model.safetensors"
    stat = file.stat()
    file.write_bytes(bytes(stat.st_size))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def defaults(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"repetition_penalty": 2.0}')


def code(folder: Path) -> None:
    (folder / "modeling_own.py").write_text("")


def cut_off(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize("name", ["M1", "M2", "M3"])
def test_a_finished_run_does_without_its_models(whole: Whole, name: str) -> None:
    assert whole.again() == []
    shutil.rmtree(whole.model(name))
    assert whole.again() == []
    assert not whole.model(name).exists()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (zeros, "weights, config or tokenizer changed since M2/train finished"),
        (defaults, "generation_config.json or code changed since M2/train finished"),
        (code, "generation_config.json or code changed since M2/train finished"),
        (cut_off, "is gone and M3/candidates reads it"),
        (shutil.rmtree, "is gone and M3/candidates reads it"),
    ],
)
def test_a_harmed_model_plays_no_role(whole: Whole, harm: Callable[[Path], None], said: str) -> None:
    last = [name for name in whole.run.steps if name.startswith("M3/") and name != "M3/prompts"]
    whole.reopen(*last)
    harm(whole.model("M2"))
    with pytest.raises(InputError, match=said) as found:
        whole.again()
    assert "--redo M2/train" in str(found.value)
    assert "\n" not in str(found.value)
    assert whole.made == []


def test_harm_to_a_model_that_nothing_needs_is_no_hindrance(whole: Whole) -> None:
    whole.reopen("M3/eval")
    zeros(whole.model("M1"))
    shutil.rmtree(whole.model("M2"))
    assert whole.again() == ["M3/eval"]


def test_m0_is_needed_as_long_as_a_step_is_open(whole: Whole, tmp_path: Path) -> None:
    zeros(tmp_path / "base")
    assert whole.again() == []
    whole.reopen("M3/eval")
    with pytest.raises(InputError, match="changed since M0/model finished"):
        whole.again()
    shutil.rmtree(tmp_path / "base")
    assert whole.again() == ["M0/model", "M3/eval"]
    shutil.rmtree(tmp_path / "base")
    assert whole.again() == []


def test_a_whole_model_folder_that_was_deleted_is_not_made_anew_under_what_came_of_it(whole: Whole) -> None:
    before = (whole.run.path / "M3" / "train.json").read_bytes()
    shutil.rmtree(whole.run.path / "M2")
    assert whole.again() == []
    whole.reopen("M3/train", "M3/eval")
    with pytest.raises(InputError, match=r"is gone and M2/eval reads it.*--redo M2/train"):
        whole.again()
    assert (whole.run.path / "M3" / "train.json").read_bytes() == before
    assert not (whole.run.path / "M2").exists()


def test_status_tells_what_is_gone_from_what_is_still_to_be_made(whole: Whole) -> None:
    shutil.rmtree(whole.run.path / "M2")
    whole.reopen("M3/eval")
    done = CliRunner().invoke(app, ["status", str(whole.run.path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    states = {row["step"]: row["state"] for row in found["steps"]}
    assert {state for name, state in states.items() if name.startswith("M2/") and name != "M2/eval"} == {"gone"}
    assert (states["M1/sft"], states["M3/train"], states["M3/eval"]) == ("done", "done", "missing")
    assert found["complete"] is False


def test_a_model_that_is_being_made_is_not_missed(whole: Whole) -> None:
    """A kill after its record was written, before it was moved to its place."""
    last = [name for name in whole.run.steps if name.startswith(("M2/train", "M2/eval", "M3/"))]
    whole.reopen(*last)
    whole.run.begin(whole.run.steps["M2/train"])
    shutil.rmtree(whole.model("M2"))
    assert whole.again()[0] == "M2/train"


def test_by_the_users_word_it_is_made_anew_with_all_that_came_of_it(whole: Whole) -> None:
    shutil.rmtree(whole.model("M2"))
    made = whole.again("M2/train")
    assert made[:2] == ["M2/train", "M2/eval"]
    assert made[-1] == "M3/eval"
    assert "M2/pairs" not in made


def test_a_run_that_a_rule_stopped_needs_no_model_that_was_thrown_away(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = [name for name in whole.run.steps if name.startswith("M3/")]
    whole.reopen(*last)
    end = stopping.Decision(True, "M2/eval", "enough", "M2", "it is")
    monkeypatch.setattr(stopping, "decide", lambda _run, step: end if step.name == "M2/eval" else None)
    monkeypatch.setattr(stopping, "with_best", lambda _run, decision: decision)
    assert whole.again() == []
    shutil.rmtree(whole.model("M2"))
    assert whole.again() == []


def test_redo_killed_half_way_leaves_nothing_that_was_made_from_what_is_gone(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = 0
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == 4:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        whole.run.supersede([whole.run.steps["M2/judge"]])
    states = [whole.run.state(step) for step in whole.run.steps.values()]
    assert "missing" in states
    assert states == sorted(states, key=lambda state: state != "done")


def test_what_changes_while_a_step_is_at_work_makes_it_stale(tmp_path: Path) -> None:
    (tmp_path / "seed.jsonl").write_text('{"prompt": "x"}\n')
    config = parse({"seed_data": {"ift": str(tmp_path / "seed.jsonl")}}, "test")
    run = RunDirectory(tmp_path / "run", config, method(config))
    step = run.steps["M1/seed"]
    run.folder("M1").mkdir(parents=True)
    run.begin(step)
    (tmp_path / "seed.jsonl").write_text('{"prompt": "y"}\n')
    run.artifact(step.name).write_text("")
    run.finish(step, 1.0, {})
    (stale,) = run.stale([step])
    assert "seed_data.ift" in stale.why


def test_the_done_marker_is_written_after_everything_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse({"seed_data": {"ift": "seed.jsonl"}}, "test")
    run = RunDirectory(tmp_path / "run", config, method(config))
    step = run.steps["M1/sft"]
    run.folder("M1").mkdir(parents=True)
    run.begin(step)
    write_model(run.weights(step), "M1")
    synced: dict[str, bool] = {}
    sync = os.fsync

    def noted(handle: int) -> None:
        synced[str(Path(f"/proc/self/fd/{handle}").readlink())] = run.marker(step, "done").exists()
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    run.finish(step, 1.0, {})
    for path in (run.weights(step) / "model.safetensors", run.weights(step), run.folder("M1")):
        assert synced[str(path)] is False
    assert read_json(run.marker(step, "done"))["stage"] == "sft"
