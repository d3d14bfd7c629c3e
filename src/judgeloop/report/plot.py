"""Intervals as a plot of characters: one row a model, ├──●──┤ on the metric's scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from judgeloop.report.metrics import scale, value_in_words
from judgeloop.report.printing import say
from judgeloop.report.wording import number, percent

if TYPE_CHECKING:
    from rich.console import Console

_WIDEST = 61  # columns of a scale: 0 to 100% in steps of 5/3
_NARROWEST = 11
_PARTS = 4  # of a scale, between marks


def print_plot(console: Console, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Plot each metric (as `report.metrics` has them) under its label, the models below one another."""
    from rich.cells import cell_len

    rows = [(name, found, value_in_words(found)) for metric in metrics for name, found in metric["of"].items()]
    if not rows:
        return
    names, words = (max(cell_len(row[k]) for row in rows) for k in (0, 2))
    width = max(_NARROWEST, min(_WIDEST, console.width - names - words - 6))
    width -= (width - 1) % _PARTS  # marks at equal distances
    for metric in metrics:
        low, high = scale(metric)
        console.print()
        say(console, metric["label"], style="bold")
        for name, found in metric["of"].items():
            bar = _bar(found["value"], low, high, width)
            say(console, f"{bar}  {value_in_words(found)}", lead=f"  {name}{' ' * (names - cell_len(name))}  ")
        as_words = percent if metric["share"] else lambda value: number(value, 0)
        say(console, _axis([as_words(low + k * (high - low) / _PARTS) for k in range(_PARTS + 1)], width, names + 4))


def _bar(value: Mapping[str, Any], low: float, high: float, width: int) -> str:
    def place(at: float) -> int:
        return round((at - low) / (high - low) * (width - 1))

    cells = ["┊" if k % ((width - 1) // _PARTS) == 0 else " " for k in range(width)]
    middle = place(value["value"])
    if "low" in value:
        first, last = place(value["low"]), place(value["high"])
        cells[first : last + 1] = "─" * (last + 1 - first)
        if first < middle:
            cells[first] = "├"
        if last > middle:
            cells[last] = "┤"
    cells[middle] = "●"
    return "".join(cells)


def _axis(marks: Sequence[str], width: int, indent: int) -> str:
    """The marks, each centred under its line, the outer two alone where all would not fit."""
    shown = {0: marks[0], _PARTS: marks[-1]} if width < 8 * _PARTS else dict(enumerate(marks))
    line = " " * indent
    for k, mark in shown.items():
        at = indent + k * (width - 1) // _PARTS
        line = line.ljust(at - (len(mark) - 1) // 2) + mark
    return line
