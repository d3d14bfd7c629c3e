"""How much of the machine a process may use: its affinity, and what its container leaves it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from judgeloop.models import hardware

Group = Callable[..., None]


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Group:
    """Makes files of control groups; the process is in the one of the folder "a/b"."""
    groups = tmp_path / "cgroup"
    (groups / "a" / "b").mkdir(parents=True)
    (tmp_path / "own").write_text("0::/a/b\n", encoding="utf-8")
    monkeypatch.setattr(hardware, "_GROUPS", groups)
    monkeypatch.setattr(hardware, "_OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)

    def make(name: str, text: str) -> None:
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text + "\n", encoding="utf-8")

    return make


@pytest.mark.parametrize(
    ("name", "text", "usable"),
    [
        ("cpu.max", "max 100000", 64),
        ("cpu.max", "200000 100000", 2),
        ("a/cpu.max", "150000 100000", 2),
        ("a/b/cpu.max", "5000 100000", 1),
        ("elsewhere/cpu.max", "100000 100000", 64),
    ],
)
def test_a_quota_of_processor_time_is_worth_so_many_cores(group: Group, name: str, text: str, usable: int) -> None:
    group(name, text)
    assert hardware.cores() == usable


@pytest.mark.parametrize(("quota", "usable"), [("400000", 4), ("-1", 64)])
def test_a_quota_of_the_first_kind_of_control_groups(group: Group, quota: str, usable: int) -> None:
    group("cpu/cpu.cfs_quota_us", quota)
    group("cpu/cpu.cfs_period_us", "100000")
    assert hardware.cores() == usable


def test_the_smallest_limit_of_memory_holds(group: Group) -> None:
    whole = hardware.memory()
    group("memory.max", "max")
    assert hardware.memory() == whole
    group("memory.max", "4000000")
    group("a/memory.max", "3000000")
    assert hardware.memory() == 3_000_000


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_only_the_cores_that_a_process_may_run_on_count() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from judgeloop.models.hardware import cores; print(cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
