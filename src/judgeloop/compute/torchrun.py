"""Several processes of one machine for a stage that trains: `python -m judgeloop.compute.torchrun PROCESSES RESTARTS
MODULE …` is torchrun's agent around `python -m MODULE …`.

It is what `torchrun --standalone` is, with the driver's pipe handed on: torchrun starts its processes without our file
descriptors, so they write to a named pipe whose lines go to the driver's.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from judgeloop.compute.local import PARENT, PROGRESS_FD, ChildReport, die_with_parent
from judgeloop.errors import InputError, StageFailed
from judgeloop.models.hardware import cuda_devices


def command(processes: int, restarts: int, arguments: Sequence[str]) -> list[str]:
    """What follows `python -m` to run `python -m …arguments` in so many processes."""
    return ["judgeloop.compute.torchrun", str(processes), str(restarts), *arguments] if processes > 1 else [*arguments]


def require_gpus(processes: int) -> None:
    """Raise InputError if this machine has GPUs, but fewer than `processes`."""
    shown = cuda_devices()
    if 0 < shown < processes:
        raise InputError(
            f"compute.processes: {processes} processes need {processes} GPUs, and this machine shows {shown}; "
            f"set it to {shown}"
        )


def main(processes: int, restarts: int, arguments: Sequence[str]) -> int:
    """Run the processes until all have ended well; return the exit code. If one ends badly all are ended and started
    again, at most `restarts` times."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    die_with_parent()
    os.environ[PARENT] = str(os.getpid())
    with tempfile.TemporaryDirectory() as folder, _handed_on(Path(folder) / "progress") as report:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="judgeloop",
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=restarts,
            logs_specs=DefaultLogsSpecs(log_dir=str(Path(folder) / "logs")),
            shutdown_timeout=3,
        )
        try:
            elastic_launch(config, sys.executable)("-m", *arguments)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            how = f"ended with code {failure.exitcode}"
            if failure.exitcode < 0:
                how = f"was killed by {signal.Signals(-failure.exitcode).name}"
            if failure.exitcode == -signal.SIGKILL:
                how += "; the machine may have run out of memory"
            again = f" ({restarts} restarts did not help)" if restarts else ""
            said = f"process {rank} of {processes} {how}{again}; run the same command again to go on"
            print(said, file=sys.stderr, flush=True)
            report.failed(StageFailed(said))
            return 1
    return 0


@contextmanager
def _handed_on(pipe: Path) -> Iterator[ChildReport]:
    """Within it PROGRESS_FD names `pipe`, and what is written there goes to where it pointed before."""
    report = ChildReport()
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(pipe, os.O_WRONLY)  # else the pipe would end with the first process
    os.set_blocking(reading, True)
    os.environ[PROGRESS_FD] = str(pipe)

    def hand_on() -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                report.forward(line)

    thread = threading.Thread(target=hand_on, daemon=True, name="progress")
    thread.start()
    try:
        yield report
    finally:
        os.close(writing)
        thread.join(timeout=5)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
