"""A run that torchrun started in several processes, on one machine or several: `torchrun … -m judgeloop run CONFIG`.

Rank 0 drives, as a run in one process does. The others have nothing to do but to train: each has a child that waits, in
the key-value store of torchrun's agents, until rank 0's child of a stage that trains meets it there, and then another.
A failure anywhere ends all processes. If torchrun starts them again, rank 0 goes on where the run stopped, in the
middle of a training from its last checkpoint.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from judgeloop.compute.local import run_child
from judgeloop.errors import InputError
from judgeloop.training import distributed


def help_run(out: Path, environment: Mapping[str, str]) -> None:
    """Take part in every training of the run in `out`, until rank 0 says that it is over. The folder must be the same
    one on all machines, in a file system that they share."""
    log = Path(tempfile.mkdtemp(prefix="judgeloop-")) / f"rank{distributed.rank()}.log"  # `out` is for rank 0 to make
    told: list[Mapping[str, Any]] = []
    while not told:
        run_child(["judgeloop.run.worker", str(out)], log, told.append, environment=environment)


def release_others(out: Path, environment: Mapping[str, str]) -> None:
    """Tell the other processes that the run is over; nothing if there are none."""
    if distributed.processes() > 1:
        run_child(
            ["judgeloop.run.worker", str(out)], out / "logs" / "rank0.log", lambda _: None, environment=environment
        )


def require_share(sharding: str, processes: int) -> None:
    """Raise InputError if there are too few processes, or machines of different size, for weights in shards."""
    if sharding != "none" and processes == 1:
        raise InputError(
            f"compute.sharding: {sharding} needs two processes or more; raise compute.processes, start the run with "
            "torchrun, or set none"
        )
    if sharding == "hsdp" and processes % max(1, distributed.local_processes()):
        raise InputError(
            "compute.sharding: hsdp keeps a copy of the weights a machine, and the machines have different numbers of "
            "processes; give torchrun the same --nproc-per-node everywhere, or set fsdp"
        )
