"""Stop strings and common beginnings, the same way in every engine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def cut_at_stop(text: str, stop_strings: Sequence[str]) -> tuple[str, bool]:
    """Return the text up to where the first stop string begins, and whether there was one."""
    places = [place for stop in stop_strings if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def common_prefix(sequences: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What all sequences start with; empty for fewer than two."""
    if len(sequences) < 2:
        return ()
    first, last = min(sequences), max(sequences)  # in this order, what these two share all between them share too
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return first[: sum(1 for _ in same)]
