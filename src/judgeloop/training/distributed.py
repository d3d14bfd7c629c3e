"""Which of a training's processes this one is, as torchrun says it: RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE
in the environment. Rank 0 is the one that answers to the driver and writes files.

`take_over` moves torchrun's variables out of the environment, so that no library that this process uses or starts takes
them for its own: accelerate would share out rows that are shared out already, an engine would wait for the others.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Literal

Sharding = Literal["none", "fsdp", "hsdp"]

_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_ALSO = ("GROUP_", "ROLE_", "TORCHELASTIC_")  # beginnings of what torchrun sets too
_GPUS = "CUDA_VISIBLE_DEVICES"
_taken: dict[str, str] = {}
_how: dict[str, str | bool] = {"sharding": "none", "offload": False}


def take_over(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make what torchrun says this process's own. Nothing happens if torchrun did not start it: RANK alone may be
    another program's, and there would be no store to meet in."""
    if "TORCHELASTIC_RUN_ID" in environment:
        names = [name for name in environment if name in _NAMES or name.startswith(_ALSO)]
        _taken.update({name: environment.pop(name) for name in names})


def take_place(rank: int, processes: int, local_rank: int, local_processes: int) -> None:
    """Be one of several processes that have a process group already, and leave nothing of that in the environment."""
    for name in [name for name in os.environ if name in _NAMES or name == "NODE_RANK"]:
        del os.environ[name]
    places = (rank, processes, local_rank, local_processes)
    _taken.update(zip(("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"), map(str, places), strict=True))


def variables() -> dict[str, str]:
    """What `take_over` found, for a child process that trains in this one's place."""
    return dict(_taken)


def rank() -> int:
    return int(_taken.get("RANK", "0"))


def processes() -> int:
    return int(_taken.get("WORLD_SIZE", "1"))


def local_processes() -> int:
    """How many of the processes are on this machine."""
    return int(_taken.get("LOCAL_WORLD_SIZE", "1"))


def address() -> tuple[str, int]:
    """Where the key-value store of torchrun's agents is."""
    return _taken["MASTER_ADDR"], int(_taken["MASTER_PORT"])


def is_main() -> bool:
    """Whether this process writes what the stage makes."""
    return rank() == 0


def see_one_gpu() -> None:
    """Let this process see the GPU that is its own, by the number or identifier that CUDA_VISIBLE_DEVICES has for it.
    To be called before CUDA is first asked. Nothing changes if all GPUs are hidden."""
    named = [name.strip() for name in os.environ.get(_GPUS, "").split(",") if name.strip()]
    place = int(_taken.get("LOCAL_RANK", "0"))
    if named:
        os.environ[_GPUS] = named[place % len(named)]
    elif _GPUS not in os.environ:
        os.environ[_GPUS] = str(place)


def shard_weights(sharding: Sharding, *, offload: bool = False) -> None:
    """Say how this process's trainings spread weights over the processes; `offload`: parts wait in host memory."""
    _how.update(sharding=sharding, offload=offload)


def sharded() -> bool:
    """Whether each process holds a part of the weights only."""
    return processes() > 1 and _how["sharding"] != "none"


def offloads() -> bool:
    return bool(_how["offload"])


def mesh_shape() -> tuple[int, ...]:
    """How the processes hold the weights: (parts,), or (copies, parts of each) with `hsdp`, a copy a machine."""
    if _how["sharding"] == "hsdp":
        return processes() // local_processes(), local_processes()
    return (processes(),)


def share(sizes: list[int], of: int | None = None) -> list[int]:
    """Indices of the items this process (or the one `of` that rank) works on. The largest go round first, there and
    back, so that the processes' shares are about equal; every item is somebody's."""
    count, mine = processes(), rank() if of is None else of
    if count == 1:
        return list(range(len(sizes)))
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
    turns = [*range(count), *reversed(range(count))]
    return sorted(index for place, index in enumerate(order) if turns[place % len(turns)] == mine)
