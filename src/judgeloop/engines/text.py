"""Stop strings, the same way in every engine."""

from __future__ import annotations

from collections.abc import Sequence


def cut_at_stop(text: str, stop_strings: Sequence[str]) -> tuple[str, bool]:
    """Return the text up to where the first stop string begins, and whether there was one."""
    places = [place for stop in stop_strings if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)
