from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from judgeloop.compute.local import run_child
from judgeloop.errors import InputError, Interrupted, StageFailed


class Child:
    """A module of its own that runs as a child process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "logs" / "child.log"
        self.events: list[Mapping[str, Any]] = []

    def run(self, code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        (self.folder / "the_child.py").write_text(code, encoding="utf-8")
        run_child(
            ["the_child", *arguments],
            self.log,
            self.events.append,
            environment={**search_path(self.folder), **(environment or {})},
        )


def search_path(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child(tmp_path)


REPORT = "from judgeloop.compute.local import ChildReport\nreport = ChildReport()\n"


def test_events_arrive_and_prints_go_to_the_log(child: Child) -> None:
    code = REPORT + (
        "import os, sys\n"
        "print('to the log')\n"
        "report.progress(1, 3, 'erste Häl\u2028fte')\n"
        "report.progress(2, None)\n"
        "report.send({'any': [sys.argv[1], os.environ['MINE']]})\n"
    )
    child.run(code, "argument", environment={"MINE": "value"})
    assert child.events == [
        {"done": 1, "total": 3, "note": "erste Häl\u2028fte"},
        {"done": 2, "total": None, "note": ""},
        {"any": ["argument", "value"]},
    ]
    assert child.log.read_text() == "to the log\n"


def test_events_arrive_while_the_child_works(tmp_path: Path) -> None:
    child = Child(tmp_path)
    go = tmp_path / "go"
    code = REPORT + (
        f"import pathlib, time\nreport.progress(1, 2)\nuntil = time.monotonic() + 20\n"
        f"while not pathlib.Path({str(go)!r}).exists() and time.monotonic() < until: time.sleep(0.02)\n"
        f"report.progress(2 if time.monotonic() < until else 99, 2)\n"
    )
    done: list[int] = []

    def note(event: Mapping[str, Any]) -> None:
        done.append(event["done"])
        go.touch()

    (tmp_path / "the_child.py").write_text(code)
    run_child(["the_child"], child.log, note, environment=search_path(tmp_path))
    assert done == [1, 2]


def test_the_users_fault_stays_the_users(child: Child) -> None:
    code = (
        REPORT + "from judgeloop.errors import InputError\nreport.failed(InputError('a:1: bad'))\nraise SystemExit(2)\n"
    )
    with pytest.raises(InputError, match=r"^a:1: bad$"):
        child.run(code)


def test_another_reported_fault_is_a_failed_stage(child: Child) -> None:
    code = (
        REPORT
        + "from judgeloop.errors import StageFailed\nreport.failed(StageFailed('too bad'))\nraise SystemExit(1)\n"
    )
    with pytest.raises(StageFailed, match=r"^too bad \(log: .*child\.log\)$"):
        child.run(code)


def test_a_crash_shows_the_end_of_this_attempts_log(child: Child) -> None:
    child.log.parent.mkdir()
    child.log.write_text("of an earlier attempt\n")
    code = "for k in range(30): print('line', k)\nraise ValueError('the cause')\n"
    with pytest.raises(StageFailed, match="ended with code 1; run the same command again to go on") as caught:
        child.run(code)
    message = str(caught.value)
    assert message.endswith("  | ValueError: the cause")
    assert "line 29" in message
    assert "line 3\n" not in message
    with pytest.raises(StageFailed) as caught:
        child.run("raise SystemExit(3)\n")
    assert "the cause" not in str(caught.value)
    assert child.log.read_text().startswith("of an earlier attempt\nline 0\n")


def test_a_full_disk_is_named(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    full = f"no space is left on the disk of {child.log.parent}, free some; run the same command again"
    with pytest.raises(StageFailed, match=re.escape(full)):
        child.run("raise OSError(28, 'No space left on device')\n")
    with pytest.raises(StageFailed) as caught:
        child.run("raise OSError(5, 'Input/output error')\n")
    assert "no space" not in str(caught.value)
    usage = shutil.disk_usage(child.folder)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)  # then the log says nothing
    with pytest.raises(StageFailed, match=re.escape(full)):
        child.run("raise SystemExit(1)\n")


@pytest.mark.parametrize(("number", "hint"), [("SIGKILL", True), ("SIGSEGV", False)])
def test_a_killed_child_names_the_signal(number: str, hint: bool, child: Child) -> None:
    code = f"import os, signal\nos.kill(os.getpid(), signal.{number})\n"
    with pytest.raises(StageFailed, match=f"was killed by {number}") as caught:
        child.run(code)
    assert ("may have run out of memory" in str(caught.value)) == hint
    assert caught.value.exit_code == 1


def test_a_line_cut_by_a_kill_is_no_event(child: Child) -> None:
    written = b'{"done": 1, "total": 2}\n{"do'
    code = f"import os\nos.write(int(os.environ['JUDGELOOP_PROGRESS_FD']), {written!r})\nos.kill(os.getpid(), 9)\n"
    with pytest.raises(StageFailed, match="SIGKILL"):
        child.run(code)
    assert child.events == [{"done": 1, "total": 2}]


def test_a_module_that_is_not_there(child: Child) -> None:
    with pytest.raises(StageFailed, match=r"No module named judgeloop\.none"):
        run_child(["judgeloop.none"], child.log, child.events.append)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_stops_the_child(number: signal.Signals, child: Child) -> None:
    timer: list[threading.Timer] = []

    def interrupt(event: Mapping[str, Any]) -> None:
        child.events.append(event)
        timer.append(threading.Timer(0.1, os.kill, (os.getpid(), number)))
        timer[0].start()

    code = REPORT + "import os, time\nreport.send({'pid': os.getpid()})\ntime.sleep(60)\n"
    (child.folder / "the_child.py").write_text(code)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="run the same command again to go on"):
        run_child(["the_child"], child.log, interrupt, environment=search_path(child.folder))
    timer[0].join()
    assert is_gone(child.events[0]["pid"], 3)
    assert signal.getsignal(signal.SIGTERM) == before


PARENT = """
import sys
from pathlib import Path
from judgeloop.compute.local import run_child
run_child(["the_child"], Path(sys.argv[1]) / "log", lambda event: print(event["pid"], flush=True))
"""


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "the_child.py").write_text(
        REPORT + "import os, time\nfrom judgeloop.compute.local import die_with_parent\n"
        "die_with_parent()\nreport.send({'pid': os.getpid()})\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **search_path(tmp_path)},
    )
    assert parent.stdout is not None
    with parent:
        pid = int(parent.stdout.readline())
        assert not is_gone(pid, 0.5)
        parent.kill()
    assert is_gone(pid, 3)


def test_a_child_whose_parent_was_gone_before_it_looked_goes_too() -> None:
    code = "import time; from judgeloop.compute.local import die_with_parent; die_with_parent(); time.sleep(60)"
    orphan = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "JUDGELOOP_PARENT": str(2**22 + 1)}, timeout=30, check=False
    )
    assert orphan.returncode == 1


def is_gone(pid: int, patience: float) -> bool:
    """Has the process ended within so many seconds? (A zombie that nobody has waited for counts as ended.)"""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False
