"""The columns of a progress bar, in as many columns of the terminal as there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

_TIME, _NOTE = 7, 22  # columns
_WIDEST, _NARROWEST = 30, 5  # of the bar itself; with less room there is none


def bar_columns(width: int, label: str, count: str, counted: int) -> list[ProgressColumn]:
    """Label, bar, `count` (as rich formats it, in `counted` columns), time, time left, and the field `note`, on one
    line of `width`; where that is not enough, the bar goes first, then the time, then the note's end, then the
    label's."""
    from rich.cells import cell_len
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Column

    def column(wide: int) -> Column:
        return Column(width=max(1, wide), no_wrap=True, overflow="ellipsis")

    rest = counted + len("left") + _TIME + 4  # what is always there, with a space before each part
    labelled = min(cell_len(label), width - rest - 2)
    room = width - rest - labelled - 1
    timed = room >= _TIME + 1 + _NOTE
    room -= (_TIME + 1) * timed
    bar = min(_WIDEST, room - _NOTE - 1)
    room -= (bar + 1) * (bar >= _NARROWEST)
    return [
        TextColumn("{task.description}", table_column=column(labelled)),
        *([BarColumn(bar_width=bar, table_column=column(bar))] if bar >= _NARROWEST else []),
        TextColumn(count, justify="right", table_column=column(counted)),
        *([TimeElapsedColumn(table_column=column(_TIME))] if timed else []),
        TextColumn("left", table_column=column(4)),
        TimeRemainingColumn(table_column=column(_TIME)),
        TextColumn("{task.fields[note]}", table_column=column(room)),
    ]
