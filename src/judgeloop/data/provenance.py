"""What is said of a file that was read: what was detected in it, and where every row went."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from judgeloop.config import HUB
from judgeloop.errors import InputError

Turns = Literal["first", "all"]


class Unusable(Exception):
    """A row, or a part of one, that is well formed but cannot serve: it is dropped and counted under its reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Account:
    """What a reader did with one source: the format it detected, what it was kept in (`container`), rows read, results
    taken, and rows or parts dropped, by reason. `repeated_ids` are rows that were kept although the file's own id had
    occurred before: rows are told apart by content. `unread` says how many rows have each column that was left aside,
    `thoughts` how many thoughts were split off answers, `columns` which column says what."""

    detected: str
    taken: int
    dropped: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    container: str = ""
    repeated_ids: int = 0
    unread: dict[str, int] = field(default_factory=dict)
    thoughts: int = 0
    trained_thoughts: bool = False
    notes: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)

    def sentence(self, source: str | Path) -> str:
        """The account in one line, for the first line of output."""
        counts = [f"{count} dropped: {reason}" for reason, count in self.dropped.items()]
        if self.repeated_ids:
            counts.append(f"{self.repeated_ids} kept although their id occurs twice")
        if self.thoughts:
            counts.append(f"{self.thoughts} thoughts {'trained on' if self.trained_thoughts else 'left out'}")
        counts += self.notes
        if self.unread:
            columns = ", ".join(
                f"{name} ({count} row{'' if count == 1 else 's'})" for name, count in self.unread.items()
            )
            counts.append(f"columns not read: {columns}")
        held = f" ({self.container}, {self.rows} rows)" if self.container else ""
        return "; ".join([f"{short_name(source)}{held}: {self.detected}, {self.taken} taken", *counts])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is: a line of a file, or a row (from 1) of a table, of a JSON array or of a hub data set."""

    path: Path | str
    number: int
    unit: Literal["line", "row"] = "line"

    @property
    def source(self) -> str:
        """`file.jsonl:3` for line 3, `table.parquet:row 3` for row 3."""
        return f"{short_name(self.path)}:{'row ' if self.unit == 'row' else ''}{self.number}"

    def error(self, problem: str, remedy: str) -> InputError:
        if self.unit == "line":
            return InputError.at(self.path, self.number, problem, remedy)
        return InputError.at(f"{self.path}:row {self.number}", None, problem, remedy)

    def seen_from(self, other: Place) -> str:
        """This place in words, for an error at `other`."""
        if self.path != other.path:
            return f"in {self.source}"
        return f"on line {self.number}" if self.unit == "line" else f"in row {self.number}"


def short_name(source: str | Path) -> str:
    """A file by its name, a hub data set by its whole id."""
    return str(source) if str(source).startswith(HUB) else Path(source).name
