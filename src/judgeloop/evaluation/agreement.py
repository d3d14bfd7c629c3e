"""The judge's scores against the order humans gave the same responses.

The five metrics of Self-Rewarding Language Models (arXiv 2401.10020, section 3.2.2): pairwise accuracy, 5-best, exact
match, Spearman, Kendall τ. The paper does not say how ties count, so pairwise accuracy comes in both conventions.
Each metric is taken per prompt and averaged over the prompts where it is defined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from scipy import stats

from judgeloop.evaluation.stats import Interval, as_dict, mean_interval, spearman_correlation

Metric = Callable[[Sequence[float], Sequence[float]], float | None]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The metrics with intervals over prompts, None where no prompt defines one; `Interval.n` says how many did.

    `prompts` and `responses` count what was given, `missing` the responses left out for want of a score.
    """

    pairwise_ties_half: Interval | None
    pairwise_ties_wrong: Interval | None
    five_best: Interval | None
    exact_match: Interval | None
    spearman: Interval | None
    kendall: Interval | None
    prompts: int
    responses: int
    missing: int

    def as_dict(self) -> dict[str, Any]:
        """The metrics as interval dicts (or None), and the counts."""
        return {
            "pairwise_ties_half": as_dict(self.pairwise_ties_half),
            "pairwise_ties_wrong": as_dict(self.pairwise_ties_wrong),
            "five_best": as_dict(self.five_best),
            "exact_match": as_dict(self.exact_match),
            "spearman": as_dict(self.spearman),
            "kendall": as_dict(self.kendall),
            "prompts": self.prompts,
            "responses": self.responses,
            "missing": self.missing,
        }


def agreement(
    rows: Sequence[tuple[Sequence[float | None], Sequence[float]]],
    *,
    seed: int,
    resamples: int = 1000,
    perfect: float = 5.0,
) -> Agreement:
    """Compare scores (higher is better, None: no score) with human ranks (lower is better, equal: a tie), row = prompt.

    A response without a score is left out of its prompt and counted. `perfect` is the score from which a response
    counts as a perfect 5 (for expected scores, which hardly ever reach 5, give 4.5).
    """
    complete = [_scored(scores, ranks) for scores, ranks in rows]
    given = sum(len(ranks) for _, ranks in rows)

    def averaged(metric: Metric) -> Interval | None:
        values = [metric(scores, ranks) for scores, ranks in complete]
        return mean_interval([v for v in values if v is not None], seed=seed, resamples=resamples)

    return Agreement(
        pairwise_ties_half=averaged(lambda s, r: pairwise_accuracy(s, r, ties="half")),
        pairwise_ties_wrong=averaged(lambda s, r: pairwise_accuracy(s, r, ties="wrong")),
        five_best=averaged(lambda s, r: five_best(s, r, perfect=perfect)),
        exact_match=averaged(exact_match),
        spearman=averaged(spearman),
        kendall=averaged(kendall),
        prompts=len(rows),
        responses=given,
        missing=given - sum(len(scores) for scores, _ in complete),
    )


def _scored(scores: Sequence[float | None], ranks: Sequence[float]) -> tuple[list[float], list[float]]:
    pairs = [(s, r) for s, r in zip(scores, ranks, strict=True) if s is not None]
    return [s for s, _ in pairs], [r for _, r in pairs]


def pairwise_accuracy(
    scores: Sequence[float], ranks: Sequence[float], *, ties: Literal["half", "wrong"]
) -> float | None:
    """Share of the pairs that humans order which the scores order alike. None where humans order none.

    A pair that humans tie is left out; one that only the judge ties counts half, or as wrong.
    """
    credit = 0.5 if ties == "half" else 0.0
    points = []
    for (score_a, rank_a), (score_b, rank_b) in combinations(zip(scores, ranks, strict=True), 2):
        if rank_a == rank_b:
            continue
        if score_a == score_b:
            points.append(credit)
        else:
            points.append(1.0 if (score_a > score_b) == (rank_a < rank_b) else 0.0)
    return sum(points) / len(points) if points else None


def five_best(scores: Sequence[float], ranks: Sequence[float], *, perfect: float = 5.0) -> float | None:
    """Of the responses scored a perfect 5, the share that humans rank best. None where none is scored so."""
    top = [rank for score, rank in zip(scores, ranks, strict=True) if score >= perfect]
    return sum(rank == min(ranks) for rank in top) / len(top) if top else None


def exact_match(scores: Sequence[float], ranks: Sequence[float]) -> float | None:
    """1 where the scores put every pair that humans order in that order (a judge's tie does not), else 0.

    Responses that humans tie may stand in any order. None where humans order no pair.
    """
    accuracy = pairwise_accuracy(scores, ranks, ties="wrong")
    return None if accuracy is None else float(accuracy == 1.0)


def spearman(scores: Sequence[float], ranks: Sequence[float]) -> float | None:
    """Spearman's ρ of scores with human quality (minus the rank). None where either side is constant."""
    return spearman_correlation(scores, [-rank for rank in ranks])


def kendall(scores: Sequence[float], ranks: Sequence[float]) -> float | None:
    """Kendall's τ-b of scores with human quality (minus the rank). None where either side is constant."""
    if len(scores) < 2 or len(set(scores)) == 1 or len(set(ranks)) == 1:
        return None
    return float(stats.kendalltau(scores, [-rank for rank in ranks], variant="b").statistic)
