"""What became of the things a model was asked for: kept, or dropped for a reason, with a few of each to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

KEPT, DROPPED = 5, 3  # samples that are shown: of what was kept, and of each reason


class YieldCounts:
    """Counts by reason, and samples. They go into an account and come back from it."""

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        """`stored` is what `as_account` gave to an earlier attempt."""
        before = stored or {"kept": 0, "dropped": {}, "samples": {"kept": [], "dropped": {}}}
        self.kept = int(before["kept"])
        self.dropped: Counter[str] = Counter(before["dropped"])
        self._kept_samples: list[Any] = list(before["samples"]["kept"])
        self._samples: dict[str, list[Any]] = {
            name: list(texts) for name, texts in before["samples"]["dropped"].items()
        }

    def keep(self, sample: object) -> None:
        """Count one thing as kept."""
        self.kept += 1
        if len(self._kept_samples) < KEPT:
            self._kept_samples.append(sample)

    def drop(self, reason: str, sample: object) -> None:
        """Count one thing as dropped."""
        self.dropped[reason] += 1
        samples = self._samples.setdefault(reason, [])
        if len(samples) < DROPPED:
            samples.append(sample)

    def as_account(self) -> dict[str, Any]:
        """{"kept": n, "dropped": {reason: n}, "samples": {"kept": […], "dropped": {reason: […]}}}."""
        return {
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "samples": {"kept": list(self._kept_samples), "dropped": dict(sorted(self._samples.items()))},
        }
