"""Progress of commands that wait for a model, on standard error: a bar on a terminal; elsewhere a line when loading
takes long, one when the first row arrives, then one a minute."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIET = 60.0  # seconds that a log file says nothing
PATIENCE = 2.0  # seconds of loading that nobody wonders about

Progress = Callable[[int, int, str], None]


@contextmanager
def bar(label: str, loading: str | None = None) -> Iterator[Progress]:
    """Yield `progress(done, total, note)`; a bar is gone afterwards. `loading` names the model that is loaded before
    the first row."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    from judgeloop.report.bars import bar_columns
    from judgeloop.text.printable import printable

    first = label if loading is None else f"loading {printable(loading)}"
    console = Console(stderr=True)
    if not console.is_terminal:
        with _told_if_slow(None if loading is None else f"{first} …") as came:
            yield _lines(label, came)
        return
    columns = bar_columns(console.width, max(label, first, key=len), "{task.completed}/{task.total}", 11)
    with Bar(*columns, console=console, transient=True) as shown:
        task = shown.add_task(first, total=None, note="")
        yield lambda done, total, note: shown.update(task, description=label, completed=done, total=total, note=note)


@contextmanager
def _told_if_slow(text: str | None) -> Iterator[threading.Event]:
    """Print the text once the patience is over, unless the event is set before; what keeps this thread busy does not
    matter."""
    came = threading.Event()

    def wait() -> None:
        if not came.wait(PATIENCE):
            print(text, file=sys.stderr, flush=True)

    if text is not None:
        threading.Thread(target=wait, daemon=True, name="told-if-slow").start()
    try:
        yield came
    finally:
        came.set()


def _lines(label: str, came: threading.Event) -> Progress:
    begun = time.monotonic()
    told: list[float] = []

    def progress(done: int, total: int, note: str) -> None:
        came.set()
        now = time.monotonic()
        if not told or now - told[-1] >= QUIET:
            told[:] = [now]
            after = f"{label}: {done} of {total} after {now - begun:.0f} s{note and ', '}{note}"
            print(after, file=sys.stderr, flush=True)

    return progress
