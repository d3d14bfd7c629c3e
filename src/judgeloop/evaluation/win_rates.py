"""Two models head to head: each prompt is judged in both orders, and a judge that contradicts itself makes a tie.

The protocol of Self-Rewarding Language Models (arXiv 2401.10020, section 3.2.1) and MT-Bench (arXiv 2306.05685).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from judgeloop.evaluation.length_control import LengthControlled, length_controlled
from judgeloop.evaluation.statistics import Interval, as_dict, mean_interval

Preferred = Literal["first", "second", "neither"]
Outcome = Literal["win", "tie", "lose", "unparsed"]
POINTS: dict[Outcome, float] = {"win": 1.0, "tie": 0.5, "lose": 0.0}


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often the model won. `rate` is over the parsed prompts with ties as half, None if none was parsed."""

    win: int
    tie: int
    lose: int
    unparsed: int
    rate: Interval | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "win": self.win,
            "tie": self.tie,
            "lose": self.lose,
            "unparsed": self.unparsed,
            "rate": as_dict(self.rate),
        }


def outcome_of_orders(model_first: Preferred | None, model_second: Preferred | None) -> Outcome:
    """One prompt judged twice: the model's response shown first, then shown second.

    Each argument says which of the two shown responses the judge preferred, None if that could not be read. Unless
    the judge prefers the same model's response in both orders it is a tie.
    """
    if model_first is None or model_second is None:
        return "unparsed"
    if (model_first, model_second) == ("first", "second"):
        return "win"
    return "lose" if (model_first, model_second) == ("second", "first") else "tie"


def outcome_of_scores(score: float | None, other: float | None, *, margin: float = 0.0) -> Outcome:
    """One prompt by pointwise scores: the higher one wins if it is higher by more than `margin`."""
    if score is None or other is None:
        return "unparsed"
    if abs(score - other) <= margin:
        return "tie"
    return "win" if score > other else "lose"


def win_rate(outcomes: Sequence[Outcome], *, seed: int, resamples: int = 1000) -> WinRate:
    """Count the outcomes (one a prompt) and give the rate with its bootstrap interval over the parsed prompts."""
    counts = Counter(outcomes)
    points = [POINTS[outcome] for outcome in outcomes if outcome != "unparsed"]
    rate = mean_interval(points, seed=seed, resamples=resamples, bounds=(0, 1))
    return WinRate(counts["win"], counts["tie"], counts["lose"], counts["unparsed"], rate)


def length_controlled_rate(
    outcomes: Sequence[Outcome], lengths: Sequence[int], against: Sequence[int], *, seed: int, resamples: int = 1000
) -> LengthControlled | None:
    """The rate at equal length over the parsed prompts; `lengths` of the model's responses and of those it is against,
    in characters. None if length cannot be told from the models."""
    parsed = [
        (POINTS[outcome], float(length - other))
        for outcome, length, other in zip(outcomes, lengths, against, strict=True)
        if outcome != "unparsed"
    ]
    return length_controlled([y for y, _ in parsed], [d for _, d in parsed], seed=seed, resamples=resamples)
