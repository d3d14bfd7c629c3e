"""What a person sees while a run works: a bar for the running stage, one line for each finished one.

Bars only on a terminal; elsewhere the lines alone, and one a minute about a stage that takes longer. Samples of what a
model writes are shown on both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import Progress, TaskID

from judgeloop.report.bars import bar_columns
from judgeloop.report.printing import print_samples, say
from judgeloop.run.samples import Samples
from judgeloop.run.stage import Step

QUIET = 60.0  # seconds a log file says nothing about the running stage
_TITLE = 43  # columns of model and stage in the line of a finished one


class TerminalDisplay:
    """Prints to a rich console; see `run.stage.Display`."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._label = ""
        self._started = 0.0
        self._told = 0.0
        self._skipped = 0

    def superseded(self, steps: Sequence[Step], where: Path) -> None:
        names = ", ".join(step.name for step in steps) or "nothing was there"
        self._line(f"redo: {names}; what was there is kept in {where}")

    def skipped(self, _step: Step, /) -> None:
        self._skipped += 1

    def started(self, step: Step, resumed: bool) -> None:
        if self._skipped:
            self._line(f"{self._skipped} finished steps found, going on at {step.name}")
            self._skipped = 0
        self._started = self._told = time.monotonic()
        self._label = f"{step.model}  {step.stage.title}{' (resumed)' if resumed else ''}"
        if not self.console.is_terminal:
            return
        columns = bar_columns(self.console.width, self._label, "{task.percentage:>3.0f}%", 4)
        self._bar = Progress(*columns, console=self.console, transient=True)
        self._task = self._bar.add_task(self._label, total=None, note="")
        self._bar.start()

    def progress(self, done: int, total: int | None, note: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)
        elif (now := time.monotonic()) - self._told >= QUIET:
            self._told = now
            of = f" of {total}" if total else ""
            self._line(f"{self._label}: {done}{of} after {now - self._started:.0f} s{note and ', '}{note}")

    def finished(self, step: Step, marker: Mapping[str, Any]) -> None:
        self._stop()
        rows = marker.get("rows")
        count = f"{rows} rows" if rows is not None else ""
        figures = f"{count:>10}  {float(marker.get('seconds', 0.0)):7.1f} s"
        title, width = f"{step.model}  {step.stage.title}", self.console.width
        if cell_len(title) + 1 + len(figures) <= width:  # else on a line of its own
            title = set_cell_size(title, max(cell_len(title) + 1, min(_TITLE, width - len(figures)))) + figures
            figures = ""
        self._line(title)
        if figures:
            self._line(f"    {figures.strip()}")
        for line in marker.get("yields", ()):
            say(self.console, line, lead="      ")

    def failed(self) -> None:
        self._stop()

    def samples(self, step: Step, found: Samples) -> None:
        print_samples(self.console, step.model, found)

    def note(self, text: str) -> None:
        self._line(text)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._task = None

    def _line(self, text: str) -> None:
        say(self.console, text)
