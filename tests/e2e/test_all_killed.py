"""A run that torchrun started, of which every process is killed at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pausing import begun, pausing, wait_until

from conftest import environment


def descendants(pid: int) -> list[int]:
    """A process, its children, theirs, …"""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += descendants(int(child))
    return found


def gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"


@pytest.mark.long
def test_all_are_killed_in_the_middle_of_a_training(make_config: Callable[..., Path], tmp_path: Path) -> None:
    """Two workers, their children and torchrun itself, with SIGKILL: the same command goes on from the checkpoint to
    the weights of a run that nothing disturbed."""
    sft = {"learning_rate": 1e-3, "batch_size": 8, "max_length": 2000, "precision": "f32", "checkpoint_steps": 1}
    changes = {"iterations": 0, "sft": sft, "plugins": str(pausing(tmp_path, "loss"))}
    config = make_config(**changes)
    log = tmp_path / "log"

    def start(out: Path) -> subprocess.Popen[bytes]:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        with log.open("ab") as output:
            return subprocess.Popen(
                [*torchrun, "-m", "judgeloop", "run", str(config), "--out", str(out)],
                cwd=tmp_path, env=environment(), stdout=output, stderr=output,
            )  # fmt: skip

    out, whole = tmp_path / "out", tmp_path / "whole"
    agent = start(out)
    marks = [tmp_path / f"paused.{rank}" for rank in range(2)]
    wait_until(lambda: all(mark.exists() for mark in marks) or agent.poll() is not None)
    assert agent.poll() is None, log.read_text()[-3000:]
    assert (out / "M1" / "checkpoints" / "checkpoint-1" / "trainer_state.json").exists()
    every = descendants(agent.pid)
    assert {int(mark.read_text().split()[0]) for mark in marks} <= set(every)
    for pid in every:
        os.kill(pid, signal.SIGKILL)
    agent.wait(timeout=60)
    wait_until(lambda: all(map(gone, every)))
    assert not (out / "M1" / "train.json").exists()
    assert start(out).wait(timeout=500) == 0, log.read_text()[-3000:]
    assert begun(tmp_path) == [0, 1]
    assert start(whole).wait(timeout=500) == 0, log.read_text()[-3000:]
    mine, theirs = (json.loads((run / "M1" / "train.json").read_text()) for run in (out, whole))
    assert mine["hash"] == theirs["hash"]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["stage"] == "sft"] == [1, 2, 3, 4, 5]
