"""Which of a stage's processes this one is. A stage that trains may run in several; rank 0 is the one that answers to
the driver, writes files and starts the others."""

from __future__ import annotations

import os

RANK, PROCESSES, MEETING = "JUDGELOOP_RANK", "JUDGELOOP_PROCESSES", "JUDGELOOP_MEETING"
SHARDED = "JUDGELOOP_SHARDED"


def rank() -> int:
    return int(os.environ.get(RANK, "0"))


def processes() -> int:
    return int(os.environ.get(PROCESSES, "1"))


def sharded() -> bool:
    """Whether each process holds a part of the weights only."""
    return os.environ.get(SHARDED) == "1"


def is_main() -> bool:
    """Whether this process writes what the stage makes."""
    return rank() == 0


def share(sizes: list[int], of: int | None = None) -> list[int]:
    """Indices of the items this process (or the one `of` that rank) works on. The largest go round first, there and
    back, so that the processes' shares are about equal; every item is somebody's."""
    count, mine = processes(), rank() if of is None else of
    if count == 1:
        return list(range(len(sizes)))
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
    turns = [*range(count), *reversed(range(count))]
    return sorted(index for place, index in enumerate(order) if turns[place % len(turns)] == mine)
