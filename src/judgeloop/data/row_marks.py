"""What a row says of itself as a whole: that it is left out, of weight 0, or of a split that is kept to test on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from judgeloop.data.fields import number_of
from judgeloop.data.marks import fault_of, for_testing, is_blank, is_flag, label_of, mark_of
from judgeloop.data.names import NAMES

ROW_ROLES = ("weight", "left_out", "kept", "split")
HELD_OUT = "row of a split that is kept to test on"
_USE = r"(?:training|train|sft|dpo|fine_?tuning|learning|use|export|release)"
_LEFT_OUT = re.compile(
    rf"""(?:(?:to|should|must)_(?:be_)?|is_|was_|marked_(?:for|as)_|needs_)?
    (?:excluded?|removed?|delete|discard(?:ed)?|drop(?:ped)?|skip(?:ped)?|ignored?|trash(?:ed)?|hidden|archived
    |removal|deletion|exclusion|obsolete|outdated|deprecated|retracted|withdrawn|superseded)
    (?:_(?:from|in|for)_{_USE})?
    |(?:do_not|dont|never|no|not_for|unfit_for)_(?:use|keep|include|train_on|{_USE})(?:_(?:for|in)_{_USE})?""",
    re.VERBOSE,
)
_KEPT = re.compile(
    rf"""(?:(?:ok|okay|safe)_to_|(?:can|may|should|to)_(?:be_)?|is_)?
    (?:keep|kept|included?|retain(?:ed)?|usable|eligible|use|train_on)(?:_(?:for|in)_{_USE})?
    |(?:is|ok_to|okay_to|can|should|to|may)_train
    |{_USE}_(?:eligible|usable|ok|allowed|ready)""",
    re.VERBOSE,
)


@cache
def row_role(name: str) -> str | None:
    """What a column of this name says of its row: by the table of names, or by the words of the name
    (`exclude_from_training`, `ok_to_train`). None if it says nothing of the row as a whole."""
    known = next((role for role in ROW_ROLES if name in NAMES[role]), None)
    if known is not None:
        return known
    return "left_out" if _LEFT_OUT.fullmatch(name) else "kept" if _KEPT.fullmatch(name) else None


def row_marks(
    row: Mapping[str, Any], free: Mapping[str, str], given: Mapping[str, str | None]
) -> tuple[tuple[str, str], ...]:
    """Every column that marks the row as a whole (role, column): of several each may leave it out."""
    found = [(role, key) for role, key in given.items() if role in ROW_ROLES and key is not None]
    for name, key in free.items():
        role = row_role(name)
        if role is not None and role not in given and _fits(role, row[key]):
            found.append((role, key))
    return tuple(found)


def _fits(role: str, value: object) -> bool:
    """Whether a cell can be what its column's name promises. A null can be anything."""
    if is_blank(value):
        return True
    if role == "weight":
        mark = mark_of(value)
        return mark is not None and mark.good is None
    if role == "split":
        return for_testing(value) is not None
    return is_flag(value) or (isinstance(value, str) and value.strip().casefold() in ("yes", "no", "是", "否"))


def set_aside(row: Mapping[str, Any], marks: tuple[tuple[str, str], ...], *, learnt: bool) -> str | None:
    """Why a row is not used, by what it says of itself; None if it may be. A split matters if rows are `learnt`."""
    for role, key in marks:
        value = row.get(key)
        if role == "weight" and number_of(value) == 0:
            return "row of weight 0"
        if (role == "left_out" and fault_of(value)) or (role == "kept" and label_of(value) is False):
            return "row that is marked as left out"
        if role == "split" and learnt and for_testing(value):
            return HELD_OUT
    return None
