"""Training in several processes of one machine: each has a share of every batch's rows, and the whole model or its
part of it (`training.sharding`).

Every process reads the same batches and takes its rows of them; gradients, already parts of the whole batch's loss,
are added up before each step. So all take the same step, the one that a single process would take, and the trainers
need not know: each runs as if it were alone.
"""

from __future__ import annotations

import atexit
import os
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from judgeloop.training import distributed

T = TypeVar("T")
_PATIENCE = timedelta(days=2)  # rank 0 may judge for hours; a process that died ends all the others by itself


def join() -> None:
    """Join the process group, if there are several processes and this one has not joined yet."""
    if distributed.processes() == 1 or dist.is_initialized():
        return
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(
        backend,
        init_method=f"file://{os.environ[distributed.MEETING]}",
        rank=distributed.rank(),
        world_size=distributed.processes(),
        timeout=_PATIENCE,
    )
    if backend == "gloo":  # else its threads abort some processes as they end; NCCL's end could wait for the others
        atexit.register(dist.destroy_process_group)


def wait_for_all() -> None:
    """Go on when every process is here."""
    if distributed.processes() > 1:
        dist.barrier()


def from_main(value: T) -> T:
    """Rank 0's value, in every process."""
    if distributed.processes() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def added(value: Tensor) -> Tensor:
    """The sum over all processes."""
    if distributed.processes() > 1:
        dist.all_reduce(value)
    return value


def add_gradients(model: Any) -> None:
    """Replace every process's gradients by their sum. A process that had no row of a batch adds zeros. Gradients of
    weights in shards are sums already."""
    if distributed.processes() == 1 or distributed.sharded():
        return
    for parameter in model.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)


def add_numbers(values: dict[str, float]) -> dict[str, float]:
    """Sums by name over all processes, in the order rank 0 has them."""
    if distributed.processes() == 1:
        return values
    every: list[dict[str, float] | None] = [None] * distributed.processes()
    dist.all_gather_object(every, values)
    total: dict[str, float] = {}
    for part in every:
        for name, value in (part or {}).items():
            total[name] = total.get(name, 0.0) + value
    return total
