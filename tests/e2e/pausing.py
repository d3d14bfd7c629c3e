"""A training that stops in its middle, so that a test can kill what it likes: a plugin for a run's config."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

# The training of STAGE waits after its second step, the first time; what is written says which process, on which of
# Ray's nodes, is there. Each start of a training notes the step at which it begins, and the processes of those before
# that are still there.
PAUSES = """
import os, pathlib, sys, time
from judgeloop.training import distributed

HERE = pathlib.Path(__file__).parent
if "torch" in sys.modules:  # a child that trains, and not the driver
    from judgeloop.training.trainer import Reporter

    ended, began = Reporter.on_step_end, Reporter.on_train_begin

    def node():
        if "ray" not in sys.modules:
            return ""
        import ray
        return ray.get_runtime_context().get_node_id()

    def works(process):
        try:
            return pathlib.Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def wait(self, args, state, control, **rest):
        ended(self, args, state, control, **rest)
        mark = HERE / f"paused.{distributed.rank()}"
        if self.loss_name == "LOSS" and state.global_step == 2 and not mark.exists():
            part = mark.with_name(f"part.{distributed.rank()}")  # one each: two processes come here at once
            part.write_text(f"{os.getpid()} {node()}")
            part.rename(mark)
            time.sleep(600)

    def begin(self, args, state, control, **rest):
        began(self, args, state, control, **rest)
        if self.loss_name == "LOSS" and distributed.rank() == 0:
            before = [word for mark in HERE.glob("paused.*") for word in mark.read_text().split()[:1]]
            there = [word for word in before if works(word)]
            with (HERE / "begun").open("a") as handle:
                handle.write(" ".join([str(state.global_step), *there]) + "\\n")

    Reporter.on_step_end, Reporter.on_train_begin = wait, begin
"""


def pausing(folder: Path, loss: str) -> Path:
    """Write the plugin for trainings whose loss has that name."""
    path = folder / "pausing.py"
    path.write_text(PAUSES.replace("LOSS", loss), encoding="utf-8")
    return path


def begun(folder: Path) -> list[int]:
    """The steps at which trainings began; none may have begun before all processes of the one before had ended."""
    found = [line.split() for line in (folder / "begun").read_text(encoding="utf-8").splitlines()]
    assert [survivors for _, *survivors in found] == [[]] * len(found)
    return [int(step) for step, *_ in found]


def wait_until(there: Callable[[], bool], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.1)
