"""Preference training on two machines of a Ray cluster makes what torchrun's two processes make, whatever dies."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pausing import begun, pausing, wait_until
from test_cluster_runs import run, same_models, same_rows

from conftest import write_config
from two_machines import add_second, two_machines

pytestmark = pytest.mark.ray

TRAIN = {
    "learning_rate": 1e-3,
    "batch_size": 2,
    "max_length": 2000,
    "precision": "f32",
    "checkpoint_steps": 1,
    "epochs": 2,
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    yield from two_machines(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return make_whole(tmp_path_factory.mktemp("whole"), tiny_model)


def make_whole(folder: Path, model: Path) -> Path:
    """The folder of a config and of its run, in one process up to M2, which two processes of torchrun trained."""
    prompts = {"source": "file", "files": [str(folder / "prompts.jsonl")], "count": 10}
    evaluation = {"count": 3, "samples": 1, "bootstrap": 50, "base": False, "sampling": {"max_new_tokens": 8}}
    candidates = {
        "count": 4,
        "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 48},
    }  # long enough to end
    config = write_config(
        folder, model, iterations=1, prompts=prompts, candidates=candidates, train=TRAIN, evaluation=evaluation
    )
    log = folder / "log"
    assert run(config, folder / "run", log).wait(timeout=1500) == 0, log.read_text()[-3000:]
    shutil.copytree(folder / "run", folder / "alone")
    code = run(config, folder / "run", log, "compute.processes=2", redo="M2/train").wait(timeout=1500)
    assert code == 0, log.read_text()[-3000:]
    return folder


def steps(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if (row["model"], row["stage"]) == ("M2", "train")]


def check(whole: Path, out: Path) -> None:
    same_models(whole / "run", out, ("M1", "M2"))
    same_rows(whole / "run", out, ("M2/candidates.jsonl", "M2/judgements.jsonl", "M2/pairs.jsonl"))
    expected = [row["step"] for row in steps(whole / "run")]
    assert [row["step"] for row in steps(out)] == expected
    assert len(expected) >= 4
    for mine, alone in zip(steps(out), steps(whole / "alone"), strict=True):  # one process adds in another order
        assert mine["dpo_loss"] == pytest.approx(alone["dpo_loss"], abs=1e-4)


def begin(whole: Path, tmp_path: Path, *changes: str) -> tuple[Path, Callable[..., Any]]:
    """A copy of the run whose preference training is yet to be done, and how to start it."""
    out, log = tmp_path / "out", tmp_path / "log"
    shutil.copytree(whole / "run", out)
    changes = (*changes, "compute.processes=2", f"plugins={pausing(tmp_path, 'dpo_loss')}")
    return out, lambda redo=None: run(whole / "config.yaml", out, log, *changes, redo=redo)


def test_nothing_happens(whole: Path, cluster: Any, tmp_path: Path) -> None:
    for rank in range(2):
        (tmp_path / f"paused.{rank}").touch()
    out, start = begin(whole, tmp_path, f"compute.cluster={cluster.address}")
    assert start("M2/train").wait(timeout=1500) == 0, (tmp_path / "log").read_text()[-3000:]
    check(whole, out)
    assert begun(tmp_path) == [0]


def test_a_machine_is_lost_and_another_comes(whole: Path, cluster: Any, tmp_path: Path) -> None:
    """After the second step: both processes go on from the checkpoint when there is room for the second again."""
    out, start = begin(whole, tmp_path, f"compute.cluster={cluster.address}", "compute.restarts=2")
    driver = start("M2/train")
    marks = [tmp_path / f"paused.{rank}" for rank in range(2)]
    wait_until(lambda: all(mark.exists() for mark in marks) or driver.poll() is not None)
    assert driver.poll() is None, (tmp_path / "log").read_text()[-3000:]
    assert cluster.second.node_id in {mark.read_text().split()[1] for mark in marks}
    cluster.remove_node(cluster.second, allow_graceful=False)
    stage_log = out / "logs" / "M2.train.log"
    wait_until(lambda: "has room for 1; start more machines" in stage_log.read_text() or driver.poll() is not None)
    assert driver.poll() is None, (tmp_path / "log").read_text()[-3000:]
    add_second(cluster)
    assert driver.wait(timeout=1500) == 0, (tmp_path / "log").read_text()[-3000:]
    check(whole, out)
    assert begun(tmp_path)[0] == 0
    assert set(begun(tmp_path)[1:]) <= {1, 2}


def test_the_driver_is_killed(whole: Path, cluster: Any, tmp_path: Path) -> None:
    """In the middle of the training; its workers end with it, and the same command goes on from the checkpoint."""
    out, start = begin(whole, tmp_path, f"compute.cluster={cluster.address}")
    driver = start("M2/train")
    marks = [tmp_path / f"paused.{rank}" for rank in range(2)]
    wait_until(lambda: all(mark.exists() for mark in marks) or driver.poll() is not None)
    assert driver.poll() is None, (tmp_path / "log").read_text()[-3000:]
    driver.send_signal(signal.SIGKILL)
    driver.wait(timeout=60)
    assert start().wait(timeout=1500) == 0, (tmp_path / "log").read_text()[-3000:]
    check(whole, out)
    assert begun(tmp_path) in ([0, 1], [0, 2])
