"""Two processes on the CPU train what one process does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import judgeloop
from judgeloop.config import SftSection, TrainSection
from judgeloop.models.chat import Chat
from judgeloop.training import distributed
from judgeloop.training.early_stopping import Compared
from judgeloop.training.preference import train_preference
from judgeloop.training.sft import train_sft

from .cases import assert_same_change, make_pair, make_row, smooth_adam

KEYS = {"precision": "f32", "batch_size": 4, "micro_batch_size": 2, "learning_rate": 1e-3, "epochs": 2}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("sft", {}),
    "replay": ("train", {"eft_replay": 0.4, "nll_weight": 0.5}),
    "stopped": ("train", {"early_stopping": {"every": 1}}),
}


def train(initial: Path, output: Path, stage: str, **changes: Any) -> dict[str, Any]:
    """Seven rows in batches of four: the last batch is short, and a micro-batch of one row leaves a process idle."""
    metrics: list[dict[str, float]] = []
    asked: list[int] = []

    def judge(_folder: Path, step: int, _against: int) -> Compared:
        asked.append(step)
        return Compared(1, 0, 0, 0) if step == 1 else Compared(0, 0, 1, 0)

    given: dict[str, Any] = {
        "initial": initial, "output": output, "chat": Chat.load(initial), "seed": 0, "threads": None,
        "on_progress": changes.pop("on_progress", lambda _done, _total: None), "on_metrics": metrics.append,
    }  # fmt: skip
    keys = {**KEYS, **changes}
    with smooth_adam():
        if stage == "sft":
            summary = train_sft([make_row(i) for i in range(7)], config=SftSection(**keys), **given)
        else:
            summary = train_preference(
                [make_pair(i) for i in range(7)], reference=initial, token_ids={}, config=TrainSection(**keys),
                judge_checkpoint=judge, eft=[make_row(i, kind="eft") for i in range(5)], **given,
            )  # fmt: skip
    return {"summary": summary.as_dict(), "metrics": metrics, "asked": asked}


def main() -> None:
    """What each of the two processes runs: every case, one after the other."""
    distributed.take_over()
    initial, folder = map(Path, sys.argv[1:])
    found = {case: train(initial, folder / case / "model", stage, **keys) for case, (stage, keys) in CASES.items()}
    (folder / f"said.{distributed.rank()}.json").write_text(json.dumps(found))


def torchrun(module: str, function: str, *arguments: object, count: int = 2, options: Sequence[str] = ()) -> list[str]:
    """The command that calls a function of a module of these tests in `count` processes of this machine."""
    return [
        sys.executable, "-m", "torch.distributed.run", *(options or ["--standalone"]), "--nproc-per-node", str(count),
        "--no-python", sys.executable, "-c", f"from training.{module} import {function}; {function}()",
        *map(str, arguments),
    ]  # fmt: skip


def variables() -> dict[str, str]:
    """The environment in which those processes find the tests, and what they test."""
    path = [str(Path(__file__).parents[1]), str(Path(judgeloop.__file__).parents[1])]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path)}


def run_two(module: str, *arguments: object, function: str = "main", count: int = 2) -> None:
    """Run a function of the module in two processes (or `count`), with the folders as its arguments."""
    command = torchrun(module, function, *arguments, count=count)
    done = subprocess.run(command, env=variables(), capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def two(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes have trained."""
    folder = tmp_path_factory.mktemp("two")
    run_two("test_collectives", model_folder, folder)
    return folder


def assert_same(said: Sequence[Mapping[str, Any]], alone: Mapping[str, Any]) -> None:
    """What two processes say of their training is what one says."""
    first, second = said
    for name in ("rows", "steps", "tokens", "target_tokens", "replayed", "dropped", "stopped_at", "kept_step"):
        assert first["summary"].get(name) == alone["summary"].get(name), name
    for mine, theirs in zip(first["metrics"], alone["metrics"], strict=True):
        assert set(mine) == set(theirs)
        for name, value in theirs.items():
            assert mine[name] == pytest.approx(value, abs=1e-4, rel=1e-3), name
    assert second["asked"] == []
    assert first["asked"] == alone["asked"]


@pytest.mark.parametrize("case", list(CASES))
def test_two_processes_do_what_one_does(two: Path, model_folder: Path, tmp_path: Path, case: str) -> None:
    said = [json.loads((two / f"said.{rank}.json").read_text())[case] for rank in range(2)]
    stage, keys = CASES[case]
    alone = train(model_folder, tmp_path / "model", stage, **keys)
    assert_same(said, alone)
    assert (alone["summary"]["replayed"] > 0) == (case == "replay")
    assert alone["asked"] == ([1, 2] if case == "stopped" else [])
    assert_same_change(two / case / "model", tmp_path / "model", model_folder)
    assert not (two / case / "checkpoints").exists()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_row_is_somebodys_and_the_shares_are_about_equal(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    sizes = [7, 1, 9, 3, 3, 8, 2, 6, 4]
    monkeypatch.setattr(distributed, "_taken", {"WORLD_SIZE": str(count)})
    shares = [distributed.share(sizes, rank) for rank in range(count)]
    assert sorted(index for part in shares for index in part) == list(range(9))
    assert all(part == sorted(part) for part in shares)
    loads = [sum(sizes[index] for index in part) for part in shares]
    assert max(loads) - min(loads) <= max(sizes) / 2
