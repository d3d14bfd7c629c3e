"""Which ratings are good enough to imitate: the scale that a file's ratings fit, and its middle."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

_ABOVE = 1e-9


def lowest_good(
    values: Sequence[float], *, unbounded: bool = True, total: float | None = None, scaled: bool = True
) -> float:
    """The lowest rating that may be imitated: above the middle of the scale that the ratings fit (0–1, 0–2, 0–4, 1–5,
    1–10, 1–100, or up to `total`). Of −1, 0 and 1 only 1. Ratings that fit no scale, such as rewards, are halved at
    their median, and never below 0 if some are below 0 (`unbounded`), or all may be. Of rewards and votes (not
    `scaled`) only 0 and 1, and whole numbers from 1 to 5, are a scale."""
    if not values:
        return float("-inf")
    if total is None and set(values) <= {-1.0, 0.0, 1.0}:
        return 1.0
    fits = scaled or max(values) <= 1 or set(values) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    middle = _middle(values, total) if fits else None
    if middle is not None:
        return middle if middle == 0.5 else middle + _ABOVE
    if not unbounded:
        return float("-inf")
    median = statistics.median(values)
    return max(median, 0.0) if min(values) < 0 else median


def highest_good(values: Sequence[float], *, total: float | None = None) -> float:
    """The same of what is better the lower it is (toxicity, perplexity): the highest that may be imitated."""
    if not values:
        return float("inf")
    if total is None and set(values) <= {-1.0, 0.0, 1.0}:
        return 0.0
    middle = _middle(values, total)
    return statistics.median(values) if middle is None else middle - _ABOVE


def _middle(values: Sequence[float], total: float | None) -> float | None:
    """The middle of the scale that the values fit; None if they fit none."""
    low, high = min(values), max(values)
    if low < 0 or high > (100 if total is None else total):
        return None
    if total is not None:
        top = total
    elif high <= 1:
        return 0.5
    elif low < 1 and set(values) <= {0.0, 1.0, 2.0}:
        top = 2.0
    elif low < 1 and high <= 4:
        top = 4.0
    else:
        top = next(top for top in (5.0, 10.0, 100.0) if high <= top)
    return ((0.0 if low < 1 else 1.0) + top) / 2
