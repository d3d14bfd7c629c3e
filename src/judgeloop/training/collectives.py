"""Training in several processes: each has a share of every batch's rows, and the whole model or its part of it
(`training.sharding`).

Every process reads the same batches and takes its rows of them; gradients, already parts of the whole batch's loss,
are added up before each step. So all take the same step, the one that a single process would take, and the trainers
need not know: each runs as if it were alone.
"""

from __future__ import annotations

import atexit
import json
import time
import uuid
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from judgeloop.training import distributed

T = TypeVar("T")
_PATIENCE = timedelta(days=14)  # rank 0 may generate or judge for long; if a process dies, torchrun ends all others
_CONNECTING = timedelta(minutes=5)
_PAUSE = 0.02  # seconds between two looks into the store


def join(training: str = "") -> str:
    """Meet the other processes for one training and form a process group with them; return what rank 0 calls the
    training. Nothing happens if this process is alone, or has joined.

    torchrun's agents keep one key-value store over all restarts, and over all trainings of a run. So each process asks
    under a name that it has made up, and rank 0 answers with a name for this group, under which it can keep no key of
    an earlier one.
    """
    if distributed.processes() == 1 or dist.is_initialized():
        return training
    host, port = distributed.address()
    agents = dist.TCPStore(host, port, is_master=False, timeout=_CONNECTING, wait_for_workers=False)
    agents.set_timeout(_PATIENCE)
    store = dist.PrefixStore("judgeloop", agents)
    group, training = _invite(store, training) if distributed.is_main() else _ask(store)
    dist.init_process_group(
        # What is on the host (offloaded parts, objects) goes through gloo.
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=dist.PrefixStore(group, store),
        rank=distributed.rank(),
        world_size=distributed.processes(),
        timeout=_PATIENCE,
    )
    if not torch.cuda.is_available():  # else gloo's threads abort some processes as they end; NCCL's end could wait
        atexit.register(dist.destroy_process_group)
    return training


def _invite(store: Any, training: str) -> tuple[str, str]:
    group = uuid.uuid4().hex
    missing = set(range(1, distributed.processes()))
    while missing:
        for rank in sorted(missing):
            if store.check([f"asks/{rank}"]):  # maybe still the process of that rank before a restart
                store.set(f"answer/{store.get(f'asks/{rank}').decode()}", json.dumps([group, training]))
        missing = {rank for rank in missing if not store.check([f"{group}/{rank}"])}
        time.sleep(_PAUSE)
    return group, training


def _ask(store: Any) -> tuple[str, str]:
    name = uuid.uuid4().hex
    store.set(f"asks/{distributed.rank()}", name)
    group, training = json.loads(store.get(f"answer/{name}"))
    store.set(f"{group}/{distributed.rank()}", "")
    return str(group), str(training)


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
