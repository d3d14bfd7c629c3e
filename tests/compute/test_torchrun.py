"""torchrun's agent around a stage's processes, with small programs in their place."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from judgeloop.compute.local import run_child
from judgeloop.compute.torchrun import command, require_gpus
from judgeloop.errors import InputError, StageFailed
from judgeloop.models import hardware
from judgeloop.training import distributed


def run_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, *, restarts: int = 0
) -> Sequence[Mapping[str, Any]]:
    """Run a program in two processes as the driver does, and return what they said."""
    (tmp_path / "program.py").write_text(program)
    path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    said: list[Mapping[str, Any]] = []
    run_child(command(2, restarts, ["program", str(tmp_path)]), tmp_path / "log", said.append)
    return said


SAYS = """
import os, sys
from judgeloop.compute.local import ChildReport
from judgeloop.training import distributed
distributed.take_over()
assert "RANK" not in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ
place = distributed.rank(), distributed.processes(), distributed.local_processes()
ChildReport().send({"place": place, "arguments": sys.argv[1:]})
"""


def test_each_process_knows_its_place_and_reaches_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run_in(tmp_path, monkeypatch, SAYS)
    assert sorted(event["place"] for event in said) == [[0, 2, 2], [1, 2, 2]]
    assert {tuple(event["arguments"]) for event in said} == {(str(tmp_path),)}


KILLS = """
import os, signal, time
from judgeloop.compute.local import ChildReport
again = os.environ["TORCHELASTIC_RESTART_COUNT"] != "0"
ChildReport().send({"again": again})
if not again:
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
"""


def test_if_one_is_killed_all_start_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run_in(tmp_path, monkeypatch, KILLS, restarts=1)
    assert sum(event["again"] for event in said) == 2


def test_without_restarts_the_driver_is_told_what_killed_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "process 1 of 2 was killed by SIGKILL; the machine may have run out of memory; run the same command again"
    with pytest.raises(StageFailed, match=message):
        run_in(tmp_path, monkeypatch, KILLS)


FAILS = """
import os, pathlib, sys, time
from judgeloop.compute.local import ChildReport
from judgeloop.errors import InputError
if os.environ["RANK"] == "0":
    time.sleep(60)
with (pathlib.Path(sys.argv[1]) / "tries").open("a") as tries:
    tries.write("x")
ChildReport().failed(InputError("train.loss: is wrong; mend it"))
time.sleep(60)
"""


def test_what_has_a_reason_is_said_and_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"train\.loss: is wrong"):
        run_in(tmp_path, monkeypatch, FAILS, restarts=3)
    assert (tmp_path / "tries").read_text() == "x"


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(hardware, "has_driver", lambda: count > 0)

    def torch(asked: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert "torch.cuda.device_count()" in asked[-1]
        return subprocess.CompletedProcess(asked, 0, f"{count}\n", "")

    monkeypatch.setattr(hardware.subprocess, "run", torch)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 2)
    require_gpus(2)
    message = r"compute\.processes: 3 processes need 3 GPUs, and this machine shows 2; set it to 2"
    with pytest.raises(InputError, match=message):
        require_gpus(3)
    with_gpus(monkeypatch, 0)  # none, or all are hidden: the processes run on the CPU
    require_gpus(3)


@pytest.mark.parametrize(
    ("visible", "seen"), [(None, "1"), ("3,1", "1"), ("MIG-1b2c, GPU-8f", "GPU-8f"), ("5,6", "6"), ("", "")]
)
def test_each_process_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: str) -> None:
    monkeypatch.setattr("os.environ", {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    monkeypatch.setattr(distributed, "_taken", {"LOCAL_RANK": "1"})
    distributed.see_one_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_a_single_process_is_what_it_was() -> None:
    assert command(1, 3, ["judgeloop.run.worker", "run", "M2/train"]) == ["judgeloop.run.worker", "run", "M2/train"]
