"""Several processes of one machine for a stage that trains: the first starts the others, and ends if one of them does.

The others are children of the first: they end when it ends, and report errors on the same pipe.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from judgeloop.compute.local import PARENT, PROGRESS_FD
from judgeloop.errors import InputError
from judgeloop.models.hardware import cuda_devices
from judgeloop.training import distributed

_GPUS = "CUDA_VISIBLE_DEVICES"


@contextmanager
def other_processes(
    processes: int, arguments: Sequence[str], threads: int | None, *, sharded: bool = False
) -> Iterator[None]:
    """Within this, `processes − 1` more processes run `judgeloop.run.worker` with the same arguments; CPU threads are
    shared out, and on a machine with GPUs each process sees one. `sharded`: each is to hold a part of the weights
    only. Raises InputError if there are fewer GPUs."""
    devices = gpus(processes)
    each = max(1, (threads or os.cpu_count() or 1) // processes)
    with tempfile.TemporaryDirectory() as folder:
        common = {
            distributed.PROCESSES: str(processes),
            distributed.MEETING: str(Path(folder) / "meeting"),
            distributed.SHARDED: str(int(sharded)),
            "OMP_NUM_THREADS": str(each),
        }
        pipe = os.environ.get(PROGRESS_FD)
        mine = [common | ({_GPUS: devices[rank]} if devices else {}) for rank in range(processes)]
        os.environ.update(mine[0])  # before torch is imported, which reads them
        others = [
            _start(arguments, {**os.environ, **mine[rank], distributed.RANK: str(rank), PARENT: str(os.getpid())}, pipe)
            for rank in range(1, processes)
        ]
        done = threading.Event()
        for other in others:
            threading.Thread(target=_end_with, args=(other, done), daemon=True).start()
        try:
            yield
        except BaseException:
            done.set()
            for other in others:  # they wait for this process
                other.kill()
            raise
        finally:
            done.set()
            for other in others:
                _wait(other)


def gpus(processes: int) -> list[str]:
    """The GPU of each process, as CUDA_VISIBLE_DEVICES names it (a number, or an identifier that is named there
    already); empty on a machine without GPUs. Raises InputError if there are fewer."""
    count = cuda_devices()
    if not count:
        return []
    named = [name.strip() for name in os.environ.get(_GPUS, "").split(",") if name.strip()]
    found = named[:count] or [str(number) for number in range(count)]  # CUDA leaves out what follows an unknown name
    if len(found) < processes:
        raise InputError(
            f"compute.processes: {processes} processes need {processes} GPUs, and this machine shows {len(found)}; "
            f"set it to {len(found)}"
        )
    return found[:processes]


def _start(arguments: Sequence[str], variables: Mapping[str, str], pipe: str | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "judgeloop.run.worker", *arguments],
        stdin=subprocess.DEVNULL,
        env=dict(variables),
        pass_fds=() if pipe is None else (int(pipe),),
    )


def _end_with(other: subprocess.Popen[bytes], done: threading.Event) -> None:
    """End this process if another one fails: they wait for each other at every step, so all would wait forever."""
    code = other.wait()
    if code != 0 and not done.is_set():
        print(f"process {other.pid} of this stage ended with code {code}", file=sys.stderr, flush=True)
        os._exit(1)


def _wait(other: subprocess.Popen[bytes]) -> None:
    try:
        other.wait(timeout=10)
    except subprocess.TimeoutExpired:
        other.kill()
        other.wait()
