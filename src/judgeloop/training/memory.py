"""Memory of a process that trains on a CPU: what is freed is kept for the next tensors, and handed back now and then.

Tensors of many lengths leave gaps that no later one fits into, so what is kept grows from step to step, and with it the
time in which glibc finds room for the next tensor.
"""

from __future__ import annotations

import ctypes
import sys

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_STEPS_TO_TRIM = 5  # memory kept for good fragments: up to 0.1 GB more every step with rows of many lengths


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


def give_back_freed_memory(step: int) -> None:
    """Hand back what `keep_freed_memory` kept, every few steps, so that gaps do not add up over a long training."""
    if step % _STEPS_TO_TRIM or not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def peak_memory_mib() -> float:
    """Most memory held so far: of the GPU if there is one, else of this process."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**20
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
