"""The memory allocator of a process that trains on a CPU. The C library's keeps all free blocks of more than 768 KB in
one list and walks it for every tensor; others, made for many sizes and threads, do not."""

from __future__ import annotations

import ctypes.util
import functools
import os
import sys
from pathlib import Path

ALLOCATORS = ("tcmalloc_minimal", "tcmalloc", "jemalloc")
_PRELOAD = "LD_PRELOAD"


def loaded(maps: Path = Path("/proc/self/maps")) -> str | None:
    """Which of `ALLOCATORS` this process uses; None if none, or if the system does not tell."""
    text = maps.read_text(encoding="utf-8", errors="replace") if maps.is_file() else ""
    return next((name for name in ALLOCATORS if f"lib{name}" in text), None)


@functools.cache
def installed() -> str | None:
    """The file name of the first of `ALLOCATORS` that the loader finds; None if there is none."""
    return next(filter(None, map(ctypes.util.find_library, ALLOCATORS)), None) if sys.platform == "linux" else None


def preload() -> dict[str, str]:
    """What to set for a process so that it uses what is installed; nothing if the user preloads anything."""
    library = None if os.environ.get(_PRELOAD) is not None else installed()
    return {_PRELOAD: library} if library else {}
