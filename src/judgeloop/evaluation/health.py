"""Is the judge still a judge? What its scores look like, without knowing which are right."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.evaluation.statistics import Interval, as_dict, mean_interval, spearman_correlation
from judgeloop.records import MAX_SCORE


@dataclass(frozen=True, slots=True)
class JudgeHealth:
    """`parse_rate`: share of judgements with a score. `mean_score`: over prompts, of the mean over a prompt's
    responses. `scale`: lowest and highest score of the judge's rubric. `histogram`: responses by whole score, from the
    lowest to the highest. `top_share`: share of scored responses at the top of the scale (`near_top`).
    `tie_rate`: share of prompts whose best score equals the worst. `length_correlation`: Spearman's ρ of score with
    length over all scored responses. `retest_spread`: mean over responses of the standard deviation of their K
    scores, None if none has two. None if there is nothing to count. `judgements` counts all, read or not."""

    scale: tuple[int, int]
    parse_rate: float | None
    mean_score: Interval | None
    histogram: tuple[int, ...]
    tie_rate: float | None
    top_share: float | None
    length_correlation: float | None
    retest_spread: float | None
    judgements: int

    def as_dict(self) -> dict[str, Any]:
        return {
            "scale": list(self.scale),
            "parse_rate": _rounded(self.parse_rate),
            "mean_score": as_dict(self.mean_score),
            "histogram": list(self.histogram),
            "tie_rate": _rounded(self.tie_rate),
            "top_share": _rounded(self.top_share),
            "length_correlation": _rounded(self.length_correlation),
            "retest_spread": _rounded(self.retest_spread),
            "judgements": self.judgements,
        }


def judge_health(
    scores: Sequence[Sequence[float | None]],
    lengths: Sequence[Sequence[int]],
    *,
    seed: int,
    resamples: int = 1000,
    scale: tuple[int, int] = (0, MAX_SCORE),
    valid: Sequence[bool] | None = None,
    repeated: Sequence[Sequence[float]] = (),
) -> JudgeHealth:
    """Health of a judge from its scores: `scores[p][i]` of response i to prompt p (None: no score), `lengths` alike.

    `scale` is the rubric's: whole scores from its lowest to its highest. `valid` says of each single judgement whether
    it could be read, if a score is the mean of several (K > 1); without it a response is one judgement. `repeated`
    holds each response's K scores, as far as they could be read.
    """
    by_prompt = [[s for s in row if s is not None] for row in scores]
    flat = [s for row in by_prompt for s in row]
    paired = [
        (score, float(length))
        for row, sizes in zip(scores, lengths, strict=True)
        for score, length in zip(row, sizes, strict=True)
        if score is not None
    ]
    counts = histogram(flat, scale)
    top = near_top(scale)
    read = [s is not None for row in scores for s in row] if valid is None else list(valid)
    return JudgeHealth(
        scale=scale,
        parse_rate=share(read),
        mean_score=mean_interval([sum(row) / len(row) for row in by_prompt if row], seed=seed, resamples=resamples),
        histogram=counts,
        tie_rate=share(max(row) == min(row) for row in by_prompt if len(row) > 1),
        top_share=share(score >= top for score in flat),
        length_correlation=spearman_correlation([s for s, _ in paired], [length for _, length in paired]),
        retest_spread=retest_spread(repeated),
        judgements=len(read),
    )


def retest_spread(repeated: Iterable[Sequence[float]]) -> float | None:
    """Mean over responses of the sample standard deviation of their scores; None if no response has two."""
    spreads = [statistics.stdev(scores) for scores in repeated if len(scores) > 1]
    return statistics.fmean(spreads) if spreads else None


def near_top(scale: tuple[int, int]) -> float:
    """The score from which a response counts as one at the top: 4.5 on 0-5, 2.8 on 1-3.

    An expected score never is exactly the highest one. Half a step below it is what rounds to it; on a scale of few
    steps that would be much of the scale, so at most a tenth of the scale counts as its top.
    """
    low, high = scale
    return high - min(0.5, (high - low) / 10)


def histogram(scores: Iterable[float], scale: tuple[int, int] = (0, MAX_SCORE)) -> tuple[int, ...]:
    """Counts of the whole scores of a scale, from the lowest; a fractional score goes to the nearest one, halves up.

    Raises ValueError for a score off the scale.
    """
    low, high = scale
    counts = [0] * (high - low + 1)
    for score in scores:
        if not low <= score <= high:
            raise ValueError(f"score {score} outside {low}-{high}")
        counts[math.floor(score + 0.5) - low] += 1
    return tuple(counts)


def share(flags: Iterable[bool]) -> float | None:
    """Share of true flags, None if there are none."""
    found = list(flags)
    return sum(found) / len(found) if found else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
