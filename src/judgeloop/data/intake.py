"""A row while it is read: where it is, which column says what, and the tallies of what became of its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from judgeloop.data.columns import EMPTY, Columns
from judgeloop.data.provenance import Place, Turns


class Whole(NamedTuple):
    """What only all rows of a file tell: the numbers that its votes hold (is one of them below 0, is one 0), and
    whether the scores of its responses are all from 0 to 5, as our own are."""

    votes: frozenset[float] = frozenset()
    own_scores: bool = True


_NOTHING = Whole()


@dataclass(frozen=True, slots=True)
class Intake:
    """A row being taken in: where it is, what is wanted of trees, which column says what (role → key), and the tallies
    of what cannot serve and of what was seen."""

    place: Place
    dropped: Counter[str]
    turns: Turns = "first"
    lang: str | None = None
    columns: Columns = EMPTY
    counted: Counter[str] = field(default_factory=Counter)
    ratings: list[float] = field(default_factory=list)
    whole: Whole = _NOTHING

    def value(self, row: Mapping[str, Any], role: str) -> Any:
        """What the row's column of this role holds; None if the file has none."""
        return row.get(self.columns.roles[role]) if role in self.columns else None

    def key(self, role: str) -> str:
        """The column that says this; the role's own name if the file has none."""
        return self.columns.roles.get(role, role)
