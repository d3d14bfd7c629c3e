"""Progress of commands that wait for a model, on standard error: a bar on a terminal; elsewhere a line when the first
row arrives, then one a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIET = 60.0  # seconds that a log file says nothing


@contextmanager
def bar(label: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yield `progress(done, total, note)`; a bar is gone afterwards."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(label)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(label, total=None, note="")
        yield lambda done, total, note: shown.update(task, completed=done, total=total, note=note)


def _lines(label: str) -> Callable[[int, int, str], None]:
    begun = time.monotonic()
    told: list[float] = []

    def progress(done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if not told or now - told[-1] >= QUIET:
            told[:] = [now]
            after = f"{label}: {done} of {total} after {now - begun:.0f} s{note and ', '}{note}"
            print(after, file=sys.stderr, flush=True)

    return progress
