"""The process of `compute.forks`: `python -m judgeloop.compute.fork_server DESCRIPTOR MODULE …`. It imports the modules
and then only forks and waits.

A fork is safe while no other thread runs, since it would be missing in the child with whatever it had locked. Imports
start none but those of BLAS libraries, which end before every fork; a first fork on trial tells whether that is so.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path

from judgeloop.compute.local import PARENT, PROGRESS_FD

_MOST = 64  # descriptors that come with a request


def main(channel: socket.socket, modules: list[str]) -> None:
    """Serve until the driver closes its end, then return; in a fork, run the module that was asked for."""
    for name in modules:
        importlib.import_module(name)
    if not _alone_after_fork():
        return
    gc.collect()
    gc.freeze()  # no collection touches, and so copies, the pages that all children share
    channel.send(b"ready")
    arguments = _serve(channel)
    if arguments is not None:
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def _alone_after_fork() -> bool:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.close(os.pidfd_open(pid))  # an error where the kernel has none ends this process
    os.waitpid(pid, 0)
    return len(list(Path("/proc/self/task").iterdir())) == 1


def _serve(channel: socket.socket) -> list[str] | None:
    """Fork for each request. Return None when the driver is gone, and in a fork what it is to run."""
    own = os.getpid()
    while True:
        said, descriptors, _, _ = socket.recv_fds(channel, 16, _MOST)
        if not said:
            return None
        if said != b"run":
            continue  # a signal for a child that had ended
        pid = os.fork()
        if not pid:
            channel.close()
            return _settle(own, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if not _wait(pid, channel):
            return None


def _settle(parent: int, request: int, output: int, progress: int, *_kept: int) -> list[str]:
    """Make a fork what a new process would be: its session, streams, environment and random numbers."""
    os.setsid()  # Ctrl-C reaches the driver alone
    with os.fdopen(request, encoding="utf-8") as handle:
        handle.seek(0)
        asked = json.load(handle)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    os.environ.clear()
    os.environ.update(asked["variables"])
    os.environ.update({PROGRESS_FD: str(progress), PARENT: str(parent)})
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # Python's own are drawn anew after every fork
    arguments: list[str] = asked["arguments"]
    return arguments


def _wait(pid: int, channel: socket.socket) -> bool:
    """Wait for a child, hand signals on to it, and tell how it ended. False: the driver is gone, or knows no more."""
    process = os.pidfd_open(pid)
    try:
        while process not in select.select([process, channel.fileno()], [], [])[0]:
            number = channel.recv(16)
            if not number:
                return False
            signal.pidfd_send_signal(process, int(number))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        channel.send(str(code).encode())
    finally:
        os.close(process)
    return True


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
