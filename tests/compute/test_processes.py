from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from judgeloop.compute.processes import gpus, other_processes
from judgeloop.errors import InputError
from judgeloop.models import hardware
from judgeloop.training import distributed


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int, visible: str | None = None) -> None:
    """A machine with so many GPUs, of which CUDA shows those that `visible` names. The device files are called what a
    container calls them that was given some of its host's."""
    monkeypatch.setattr(Path, "glob", lambda _self, _pattern: [Path(f"/dev/nvidia{n}") for n in range(3, 3 + count)])
    monkeypatch.setattr(hardware, "has_driver", lambda: count > 0)
    shown = count if visible is None else min(count, len([name for name in visible.split(",") if name]))

    def torch(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert "torch.cuda.device_count()" in command[-1]
        return subprocess.CompletedProcess(command, 0, f"{shown}\n", "")

    monkeypatch.setattr(hardware.subprocess, "run", torch)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


def test_each_process_gets_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 4)
    assert gpus(3) == ["0", "1", "2"]
    with_gpus(monkeypatch, 4, "3,1")
    assert gpus(2) == ["3", "1"]
    with_gpus(monkeypatch, 4, "MIG-1b2c,GPU-8f")
    assert gpus(2) == ["MIG-1b2c", "GPU-8f"]
    with_gpus(monkeypatch, 0)
    assert gpus(2) == []
    with_gpus(monkeypatch, 4, "")  # hidden: the processes run on the CPU
    assert gpus(2) == []


@pytest.mark.parametrize(("visible", "shown"), [(None, 2), ("1", 1)])
def test_more_processes_than_gpus_are_refused_before_any_is_started(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, shown: int
) -> None:
    with_gpus(monkeypatch, 2, visible)
    monkeypatch.setattr("subprocess.Popen", None)
    message = rf"compute\.processes: 3 processes need 3 GPUs, and this machine shows {shown}; set it to {shown}"
    with pytest.raises(InputError, match=message), other_processes(3, [], None):
        pass


@pytest.mark.parametrize("sharded", [False, True])
def test_each_process_is_told_what_it_holds(monkeypatch: pytest.MonkeyPatch, sharded: bool) -> None:
    with_gpus(monkeypatch, 0)
    told: list[dict[str, str]] = []

    class Other:
        returncode = 0

        def __init__(self, *_: object, env: dict[str, str], **__: object) -> None:
            told.append(env)

        def wait(self, timeout: float | None = None) -> int:
            return 0

    monkeypatch.setattr("subprocess.Popen", Other)
    monkeypatch.setattr("os.environ", {})
    with other_processes(3, [], 6, sharded=sharded):
        assert distributed.sharded() is sharded
        assert distributed.is_main()
    names = (distributed.RANK, distributed.PROCESSES, distributed.SHARDED, "OMP_NUM_THREADS")
    assert [[env[name] for name in names] for env in told] == [[n, "3", str(int(sharded)), "2"] for n in ("1", "2")]
