"""Memory of a process that trains on a CPU: what is freed is kept for the next tensors, and handed back if it piles up.

Tensors of many lengths leave gaps that no later one fits into, so what is kept grows from step to step. To hand it back
costs a step's time in fresh pages, so that is done when it has grown enough to matter.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_GROWN = 1.25  # times what was resident when memory was last handed back, and a step later
_LEAST = 512 * 2**20  # bytes; less growth is not worth the fresh pages
_STATM = Path("/proc/self/statm")


def keep_freed_memory() -> None:
    """Let glibc keep freed tensors' memory for the next ones instead of giving every large block back to the system.

    Otherwise each large tensor of each step is fresh pages to be cleared: a quarter of a CPU step's time. Holds for
    the rest of the process, so only for a process that does nothing but train.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            mallopt(option, 2**31 - 1)


class KeptMemory:
    """Asked after every step, hands freed memory back once the process has grown by a quarter (`_GROWN`, `_LEAST`)."""

    def __init__(self) -> None:
        self._before: int | None = None

    def after_step(self) -> bool:
        """Whether memory was handed back."""
        resident = resident_bytes()
        if resident is None:
            return False
        if self._before is None:
            self._before = resident
        if resident <= self._before + max((_GROWN - 1) * self._before, _LEAST):
            return False
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        self._before = None
        return trim is not None


def resident_bytes() -> int | None:
    """What this process holds of the machine's memory now; None where the system does not tell."""
    if not _STATM.exists():
        return None
    return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_memory_mib() -> float:
    """Most memory held so far: of the GPU if there is one, else of this process."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**20
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
