"""A child process for each heavy stage: whatever holds weights is gone, memory and all, when the stage ends.

The child reports progress as JSON lines on a pipe; its prints go to a log file. If the parent is killed, the
child notices and ends too. If the child is killed or crashes, the stage has failed, and its log's tail is shown.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from judgeloop.compute.forks import Child, ForkServer
from judgeloop.errors import InputError, Interrupted, JudgeloopError, StageFailed

PROGRESS_FD = "JUDGELOOP_PROGRESS_FD"
PARENT = "JUDGELOOP_PARENT"
_TAIL_LINES = 12
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_DISK_FULL = ("No space left on device", "os error 28", "Disk quota exceeded")
_HARDLY_ANY = 2**20  # bytes; a disk that is full cannot take the log's last lines either


def run_child(
    arguments: Sequence[str],
    log: Path,
    on_event: Callable[[Mapping[str, Any]], None],
    *,
    keep_open: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    server: ForkServer | None = None,
) -> None:
    """Run `python -m …arguments` and wait. `keep_open` are file descriptors the child inherits (the run's lock).
    With a `server` the child is a fork of it where there can be one.

    Raises InputError if the child found the user's input wrong, StageFailed if it ended badly, Interrupted on
    Ctrl-C or SIGTERM (the child is stopped first).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"}
    start = log.stat().st_size if log.exists() else 0
    failure: str | None = None
    user_fault = False
    child: Child | None = None
    reader, writer = os.pipe()
    try:
        with _terminations_raise(), os.fdopen(reader, encoding="utf-8", errors="replace") as events:
            with os.fdopen(writer, "wb"), log.open("ab") as output:
                child = _start(server, arguments, variables, output.fileno(), writer, keep_open)
            for line in events:
                try:
                    event = json.loads(line)
                except json.JSONDecodeError:
                    continue  # the last line of a killed child
                if "error" in event:
                    failure, user_fault = str(event["error"]), bool(event.get("input"))
                    break
                on_event(event)
            if failure is not None:
                _end(child)  # several processes would be started again, and what has a reason fails again
            code = child.wait()
    except BaseException as error:
        if child is not None:
            _stop(child)  # whatever went wrong here, it must not go on writing
        if isinstance(error, (KeyboardInterrupt, Interrupted)):
            raise Interrupted("interrupted; run the same command again to go on") from None
        raise
    if code == 0:
        return
    if user_fault and failure is not None:
        raise InputError(failure)
    if failure is not None:
        raise StageFailed(f"{failure} (log: {log})")
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    said = _tail(log, start)
    hint = ""
    if code == -signal.SIGKILL:
        hint = "; the machine may have run out of memory"
    elif any(words in said for words in _DISK_FULL) or shutil.disk_usage(log.parent).free < _HARDLY_ANY:
        hint = f": no space is left on the disk of {log.parent}, free some"
    raise StageFailed(f"the stage {how}{hint}; run the same command again to go on (log: {log})\n{said}")


def _start(
    server: ForkServer | None,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    output: int,
    progress: int,
    keep_open: Sequence[int],
) -> Child:
    forked = server.child(arguments, variables, [output, progress, *keep_open]) if server is not None else None
    return forked or subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**variables, PROGRESS_FD: str(progress), PARENT: str(os.getpid())},
        pass_fds=(progress, *keep_open),
        start_new_session=True,  # Ctrl-C reaches us alone; we stop the child in order
    )


@contextlib.contextmanager
def _terminations_raise() -> Iterator[None]:
    """SIGTERM means the same as Ctrl-C while a child runs."""

    def interrupt(_signum: int, _frame: object) -> None:
        raise Interrupted("terminated")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _end(child: Child) -> None:
    """Let the child end by itself, as one process does that has told why it fails."""
    try:
        child.wait(timeout=1)
    except subprocess.TimeoutExpired:
        _stop(child)


def _stop(child: Child) -> None:
    child.terminate()
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as handle:
        handle.seek(start)
        lines = handle.read().decode("utf-8", errors="replace").splitlines()
    return "\n".join(f"  | {line}" for line in lines[-_TAIL_LINES:])


class ChildReport:
    """The child's end of the pipe."""

    def __init__(self) -> None:
        fd = os.environ.get(PROGRESS_FD)  # or the name of a pipe, see `compute.torchrun`
        place = None if fd is None else int(fd) if fd.isdigit() else os.open(fd, os.O_WRONLY)
        self._handle = os.fdopen(place, "w", encoding="utf-8") if place is not None else None
        self._lock = threading.Lock()

    def send(self, event: Mapping[str, Any]) -> None:
        self.forward(json.dumps(event) + "\n")

    def forward(self, line: str) -> None:
        """Send a line that another process's report wrote."""
        if self._handle is None:
            return
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._handle.write(line)
            self._handle.flush()

    def progress(self, done: int, total: int | None, note: str = "") -> None:
        """Say how far the stage is; `total` is None if it cannot be known."""
        self.send({"done": done, "total": total, "note": note})

    def failed(self, error: JudgeloopError) -> None:
        self.send({"error": str(error), "input": isinstance(error, InputError)})


def die_with_parent() -> None:
    """End this process as soon as its parent is gone: nobody is left to write the next step, and the lock is free.

    The parent itself tells its id: it may have been killed before this process could ask.
    """
    parent = int(os.environ.get(PARENT, os.getppid()))

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(0.3)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


def die_with_parent_at_once() -> None:
    """End this process with its parent, as the kernel does it, if it can: one of several processes of a training has no
    copy of the run's lock, and must not write when the next driver has it. Not for the child of a thread, with which it
    would end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
