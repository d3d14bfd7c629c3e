"""A child that is forked from a process which has imported everything is what a new process would be."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from judgeloop.compute import forks
from judgeloop.compute.forks import ForkServer, _Forked
from judgeloop.compute.local import run_child
from judgeloop.errors import InputError, Interrupted, StageFailed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is a fork server on Linux only")
REPORT = "import os, sys, time\nfrom judgeloop.compute.local import ChildReport\nreport = ChildReport()\n"
# What is imported once, and counts how often.
HEAVY = "from pathlib import Path\nwith (Path(__file__).parent / 'imports').open('a') as log: log.write('once ')\n"


class Forked:
    """Modules in a folder, run one after another as forks of one server."""

    def __init__(self, folder: Path, *modules: str) -> None:
        self.folder, self.log = folder, folder / "log"
        self.events: list[Mapping[str, Any]] = []
        self.path = {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
        self.server = ForkServer(modules, self.path)

    def run(self, code: str, *arguments: str, keep_open: tuple[int, ...] = (), **environment: str) -> None:
        (self.folder / "the_child.py").write_text(REPORT + code, encoding="utf-8")
        run_child(
            ["the_child", *arguments],
            self.log,
            self.events.append,
            keep_open=keep_open,
            environment={**self.path, **environment},
            server=self.server,
        )

    def asked(self, expression: str, **environment: str) -> Any:
        self.run(f"report.send({{'any': {expression}}})\n", **environment)
        return self.events[-1]["any"]


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "has_driver", lambda: False)


@pytest.fixture
def forked(tmp_path: Path) -> Iterator[Forked]:
    (tmp_path / "heavy.py").write_text(HEAVY)
    found = Forked(tmp_path, "heavy")
    with found.server:
        yield found


def test_imports_are_done_once_and_each_child_is_new(forked: Forked) -> None:
    own = "[os.getpid(), os.getppid(), os.getsid(0) == os.getpid(), sys.argv, __name__, 'heavy' in sys.modules]"
    first, second = forked.asked(own), forked.asked(own)
    assert first[0] != second[0]
    assert first[1] == second[1] != os.getpid()
    for found in (first, second):
        assert found[2:] == [True, [str(forked.folder / "the_child.py")], "__main__", True]
    assert (forked.folder / "imports").read_text() == "once "


def test_the_environment_is_the_childs_own(forked: Forked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_DRIVER", "1")
    assert forked.asked("os.environ.get('MINE')", MINE="value") == "value"
    monkeypatch.delenv("OF_THE_DRIVER")
    monkeypatch.setenv("LATER", "2")
    names = ("MINE", "OF_THE_DRIVER", "LATER")
    assert forked.asked(f"[os.environ.get(name) for name in {names}]") == [None, None, "2"]
    assert forked.asked("os.popen('echo $LATER').read()") == "2\n"


def test_all_output_goes_to_the_log_of_its_stage(forked: Forked) -> None:
    forked.run("print('out')\nos.write(1, b'low\\n')\nprint('err', file=sys.stderr)\nos.system('echo shell')\n")
    assert forked.log.read_text() == "out\nlow\nerr\nshell\n"
    forked.log = forked.folder / "other"
    forked.run("print('second', sys.stdin.read() == '')\n")
    assert forked.log.read_text() == "second True\n"


def test_arguments_events_and_faults_arrive(forked: Forked) -> None:
    forked.run("report.progress(1, 3, 'Häl\u2028fte')\nreport.send({'any': sys.argv[1:]})\n", "a", "b c")
    assert forked.events == [{"done": 1, "total": 3, "note": "Häl\u2028fte"}, {"any": ["a", "b c"]}]
    with pytest.raises(InputError, match=r"^a:1: bad$"):
        forked.run(
            "from judgeloop.errors import InputError\nreport.failed(InputError('a:1: bad'))\nraise SystemExit(2)\n"
        )
    with pytest.raises(StageFailed, match="ended with code 3;"):
        forked.run("raise SystemExit(3)\n")
    with pytest.raises(StageFailed, match=r"ended with code 1;(.|\n)*\| ValueError: the cause$"):
        forked.run("raise ValueError('the cause')\n")
    with pytest.raises(StageFailed, match=r"ended with code 1;(.|\n)*\| too bad$"):
        forked.run("sys.exit('too bad')\n")
    with pytest.raises(StageFailed, match=r"No module named judgeloop\.none"):
        run_child(["judgeloop.none"], forked.log, forked.events.append, server=forked.server)
    assert forked.asked("'still there'") == "still there"


@pytest.mark.parametrize(("number", "hint"), [("SIGKILL", True), ("SIGSEGV", False)])
def test_a_killed_child_names_the_signal(number: str, hint: bool, forked: Forked) -> None:
    with pytest.raises(StageFailed, match=rf"was killed by {number}(.|\n)*\| said$") as caught:
        forked.run(f"import signal\nprint('said')\nos.kill(os.getpid(), signal.{number})\n")
    assert ("may have run out of memory" in str(caught.value)) == hint
    assert forked.asked("'the next'") == "the next"


def test_what_a_child_leaves_at_its_end_is_done(forked: Forked) -> None:
    forked.run("import atexit\natexit.register(print, 'at the end')\nopen('/dev/stdout', 'w').write('whole')\n")
    assert forked.log.read_text().endswith("at the end\n")


def test_random_numbers_differ_from_child_to_child(tmp_path: Path) -> None:
    with (forked := Forked(tmp_path, "numpy")).server:
        draw = "[__import__('numpy').random.random(), __import__('random').random()]"
        first, second = forked.asked(draw), forked.asked(draw)
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_the_runs_lock_is_the_childs_and_not_the_servers(forked: Forked, tmp_path: Path) -> None:
    import fcntl

    handle = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    held = (
        "[os.readlink(f'/proc/{who}/fd/{d}') for who in ('self', os.getppid()) for d in os.listdir(f'/proc/{who}/fd') "
    )
    held += "if os.path.exists(f'/proc/{who}/fd/{d}')]"
    forked.run(f"report.send({{'any': {held}}})\n", keep_open=(handle,))
    assert forked.events[-1]["any"].count(str(tmp_path / "lock")) == 1
    os.close(handle)
    again = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)


@pytest.mark.parametrize(
    "code",
    [
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
        "raise ImportError('not installed')\n",
        "raise SystemExit(1)\n",
    ],
    ids=["thread", "missing", "exit"],
)
def test_without_a_safe_fork_a_child_is_a_new_process(code: str, forked: Forked) -> None:
    (forked.folder / "heavy.py").write_text(code)
    for _ in range(2):
        assert forked.asked("[os.getppid(), 'heavy' in sys.modules]") == [os.getpid(), False]


def test_there_is_no_fork_where_a_gpu_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "has_driver", lambda: True)
    with (forked := Forked(tmp_path)).server:
        assert forked.asked("os.getppid()") == os.getpid()


def test_a_server_that_was_killed_is_a_failed_stage_and_no_end_of_the_run(forked: Forked) -> None:
    with pytest.raises(StageFailed, match="was killed by SIGKILL"):
        forked.run(
            "from judgeloop.compute.local import die_with_parent\ndie_with_parent()\n"
            "report.send({'pid': os.getpid()})\nos.kill(os.getppid(), 9)\ntime.sleep(60)\n"
        )
    assert gone(forked.events[-1]["pid"], 3)
    assert forked.asked("os.getppid()") == os.getpid()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_stops_the_child(
    number: signal.Signals, stubborn: bool, forked: Forked, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer: list[threading.Timer] = []

    def interrupt(event: Mapping[str, Any]) -> None:
        forked.events.append(event)
        timer.append(threading.Timer(0.1, os.kill, (os.getpid(), number)))
        timer[0].start()

    wait = forks._Forked.wait
    monkeypatch.setattr(forks._Forked, "wait", lambda self, timeout=None: wait(self, timeout and timeout / 20))
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    code = f"{REPORT}{deaf}report.send({{'pid': os.getpid()}})\ntime.sleep(60)\n"
    (forked.folder / "the_child.py").write_text(code)
    with pytest.raises(Interrupted, match="run the same command again to go on"):
        run_child(["the_child"], forked.log, interrupt, environment=forked.path, server=forked.server)
    timer[0].join()
    assert gone(forked.events[0]["pid"], 3)
    assert forked.asked("'the next'") == "the next"


def test_a_server_that_ended_before_it_read_is_a_killed_child() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = _Forked(ours)
    child.terminate()
    theirs.close()  # with something unread: whoever reads then gets a reset, no end
    assert child.wait(5) == -signal.SIGKILL
    ours.close()


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_while_it_imports_ends_it(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text(
        "import os, pathlib, time\npathlib.Path(__file__).with_name('pid').write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    forked = Forked(tmp_path, "heavy")
    threading.Thread(target=lambda: (awaited(tmp_path / "pid"), os.kill(os.getpid(), signal.SIGINT))).start()
    with pytest.raises(Interrupted), forked.server:
        forked.run("")
    assert gone(int((tmp_path / "pid").read_text()), 0.1)


DRIVER = """
import sys
from pathlib import Path
from judgeloop.compute import forks
from judgeloop.compute.local import run_child
forks.has_driver = lambda: False
with forks.ForkServer([], {}) as server:
    run_child(["the_child"], Path(sys.argv[1]) / "log", lambda event: print(*event["pids"], flush=True), server=server)
"""


def test_all_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "the_child.py").write_text(
        REPORT + "from judgeloop.compute.local import die_with_parent\ndie_with_parent()\n"
        "report.send({'pids': [os.getpid(), os.getppid()]})\ntime.sleep(60)\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **Forked(tmp_path).path},
    )
    assert driver.stdout is not None
    with driver:
        pids = [int(pid) for pid in driver.stdout.readline().split()]
        assert driver.pid not in pids
        assert not gone(pids[0], 0.5)
        driver.kill()
    for pid in pids:
        assert gone(pid, 3)


def test_what_a_run_imports_once_leaves_no_thread_behind_and_no_device(tmp_path: Path) -> None:
    """Else every stage would import it anew, and nobody would notice but by the clock."""
    from judgeloop.run import children

    with (forked := Forked(tmp_path, *children.IMPORTED_ONCE)).server:
        found = forked.asked(
            "[os.getppid(), 'torch' in sys.modules, sys.modules['torch'].cuda.is_initialized(),"
            " len(os.listdir('/proc/self/task')), 'openvino' in sys.modules]",
            OMP_NUM_THREADS="2",
        )
        assert found[0] != os.getpid()
        assert found[1:] == [True, False, 1, False]
        product = "(torch := __import__('torch')).ones(700, 700).mm(torch.ones(700, 700)).max().item()"
        assert forked.asked(product) == 700.0
        threads = forked.asked("__import__('torch').get_num_threads()")
    assert threads == int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))


def awaited(path: Path) -> None:
    until = time.monotonic() + 20
    while not (path.exists() and path.read_text()) and time.monotonic() < until:
        time.sleep(0.01)


def gone(pid: int, patience: float) -> bool:
    """Has the process ended within so many seconds? (A zombie that nobody has waited for counts as ended.)"""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            state = re.search(r"\) (\w)", Path(f"/proc/{pid}/stat").read_text())
            if state is not None and state[1] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False
