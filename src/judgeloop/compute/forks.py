"""Imports once: a process that has imported what stages need forks the child of each stage, which saves it some four
seconds. This is the driver's end; `compute.fork_server` is the process.

CPython's own fork server would run the user's main module again in every child.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from judgeloop.models.hardware import has_driver


class Child(Protocol):
    """A process that was started: what of `subprocess.Popen` is needed of it."""

    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class ForkServer:
    """Imports `modules` under `environment` when the first child is asked for; the process ends with this object, or
    with this process. There is none on machines with a GPU, since CUDA may not be forked, and none off Linux."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        self._modules = modules
        self._environment = environment
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._usable = sys.platform == "linux" and not has_driver()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def child(self, arguments: Sequence[str], variables: Mapping[str, str], descriptors: Sequence[int]) -> Child | None:
        """Run `python -m …arguments` in a fork whose environment is `variables`; None if there is no such process.
        `descriptors`: where its output goes, where it reports its progress, and what it is to keep open."""
        if self._usable and self._process is None:
            self._usable = False  # if it is interrupted
            self._usable = self._start()
        if not self._usable or self._channel is None:
            return None
        try:
            with os.fdopen(os.memfd_create("child"), "w", encoding="utf-8") as request:
                json.dump({"arguments": list(arguments), "variables": dict(variables)}, request)
                request.flush()
                socket.send_fds(self._channel, [b"run"], [request.fileno(), *descriptors])
        except OSError:  # it was killed
            self._usable = False
            return None
        return _Forked(self._channel)

    def close(self) -> None:
        """End the process, which then has no child. Calling it twice is fine."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            try:
                self._process.wait(timeout=1)
            except subprocess.TimeoutExpired:  # it was still importing
                self._process.kill()
                self._process.wait()

    def _start(self) -> bool:
        """Whether the process could import all and can be forked."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "judgeloop.compute.fork_server", str(theirs.fileno()), *self._modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # where it fails, a child of its own fails too and says why
                env={**os.environ, **self._environment, "PYTHONUNBUFFERED": "1"},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C reaches us alone
            )
        return self._channel.recv(16) == b"ready"


class _Forked:
    """A child of the fork server, which tells how it ended."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for a signal, as `subprocess.Popen.wait` has it."""
        if self._code is None:
            if not select.select([self._channel], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("the child", timeout or 0.0)
            try:
                said = self._channel.recv(16)
            except OSError:  # it was reset: the server ended before it read what was sent
                said = b""
            self._code = int(said) if said else -signal.SIGKILL  # the server was killed, and its child ends with it
        return self._code

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._code is None:
            try:
                self._channel.send(str(number.value).encode())
            except OSError:
                self._code = -signal.SIGKILL
