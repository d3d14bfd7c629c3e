"""Why judgements could not be read, counted in groups: reasons that differ in a number alone are one reason."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"\d+(?=%)|(?<=^score )-?\d+(?:\.\d+)?(?= outside )")


def grouped(reasons: Iterable[str | None]) -> dict[str, int]:
    """Reason → count, the most frequent first, with the range of the number in which its members differ:
    "A and B have 1–7% of the probability". None (nothing was wrong) is left out."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        if reason is not None:
            found = _NUMBER.search(reason)
            groups.setdefault(_NUMBER.sub("{}", reason, count=1), []).append(found.group() if found else "")
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return {form.replace("{}", _range(numbers), 1): len(numbers) for form, numbers in ordered}


def _range(numbers: list[str]) -> str:
    low, high = (choose(numbers, key=lambda number: float(number or 0)) for choose in (min, max))
    return low if low == high else f"{low}–{high}"
