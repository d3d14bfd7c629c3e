"""The judge's scores against the ranks that the same responses have.

The five metrics of Self-Rewarding Language Models (arXiv 2401.10020, section 3.2.2): pairwise accuracy, 5-best, exact
match, Spearman, Kendall τ. The paper does not say how ties count, so pairwise accuracy comes in both conventions.
Each metric is taken per prompt and averaged over the prompts that define it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from scipy import stats

from judgeloop.evaluation.statistics import Interval, as_dict, mean_interval, spearman_correlation

Scores = Sequence[float | None]
OfOnePrompt = Callable[[Scores, Sequence[float]], float | None]
MEASURES = ("pairwise_ties_half", "pairwise_ties_wrong", "five_best", "exact_match", "spearman", "kendall")


@dataclass(frozen=True, slots=True)
class Agreement:
    """The metrics with intervals over prompts, None if no prompt defines one; `Interval.n` says how many did.

    `prompts` and `responses` count what was given, `missing` the responses without a score.
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
        counts = {"prompts": self.prompts, "responses": self.responses, "missing": self.missing}
        return {**{name: as_dict(getattr(self, name)) for name in MEASURES}, **counts}


def agreement(
    rows: Sequence[tuple[Scores, Sequence[float]]],
    *,
    seed: int,
    resamples: int = 1000,
    perfect: float = 5.0,
) -> Agreement:
    """Compare scores (higher is better, None: no score) with ranks (lower is better, equal: a tie), row = prompt.

    `perfect` is the score from which a response counts as a perfect 5 (for expected scores, which hardly ever reach 5,
    give 4.5).
    """

    def averaged(metric: OfOnePrompt, least: float = 0) -> Interval | None:
        values = [metric(scores, ranks) for scores, ranks in rows]
        return mean_interval([v for v in values if v is not None], seed=seed, resamples=resamples, bounds=(least, 1))

    return Agreement(
        pairwise_ties_half=averaged(lambda s, r: pairwise_accuracy(s, r, ties="half")),
        pairwise_ties_wrong=averaged(lambda s, r: pairwise_accuracy(s, r, ties="wrong")),
        five_best=averaged(lambda s, r: five_best(s, r, perfect=perfect)),
        exact_match=averaged(exact_match),
        spearman=averaged(spearman, -1),
        kendall=averaged(kendall, -1),
        prompts=len(rows),
        responses=sum(len(ranks) for _, ranks in rows),
        missing=sum(score is None for scores, _ in rows for score in scores),
    )


def _scored(scores: Scores, ranks: Sequence[float]) -> tuple[list[float], list[float]]:
    """The responses that have a score."""
    pairs = [(s, r) for s, r in zip(scores, ranks, strict=True) if s is not None]
    return [s for s, _ in pairs], [r for _, r in pairs]


def pairwise_accuracy(scores: Scores, ranks: Sequence[float], *, ties: Literal["half", "wrong"]) -> float | None:
    """Share of the pairs that the ranks order which the scores order alike. None if there is no such pair.

    A pair of equal ranks is left out, and so is one where a score is missing; a pair that only the judge ties counts
    half, or as wrong.
    """
    credit = 0.5 if ties == "half" else 0.0
    points = []
    for (score_a, rank_a), (score_b, rank_b) in combinations(zip(*_scored(scores, ranks), strict=True), 2):
        if rank_a == rank_b:
            continue
        if score_a == score_b:
            points.append(credit)
        else:
            points.append(1.0 if (score_a > score_b) == (rank_a < rank_b) else 0.0)
    return sum(points) / len(points) if points else None


def five_best(scores: Scores, ranks: Sequence[float], *, perfect: float = 5.0) -> float | None:
    """Of the responses scored a perfect 5, the share that has the best rank of all, scored or not. None if none is
    scored so."""
    top = [rank for score, rank in zip(scores, ranks, strict=True) if score is not None and score >= perfect]
    return sum(rank == min(ranks) for rank in top) / len(top) if top else None


def exact_match(scores: Scores, ranks: Sequence[float]) -> float | None:
    """1 if the scores put every pair that the ranks order in that order (a judge's tie does not), else 0.

    Responses of equal ranks may be in any order. None if the ranks order no pair, or if a score is missing:
    then the whole order is not known.
    """
    if None in scores:
        return None
    accuracy = pairwise_accuracy(scores, ranks, ties="wrong")
    return None if accuracy is None else float(accuracy == 1.0)


def spearman(scores: Scores, ranks: Sequence[float]) -> float | None:
    """Spearman's ρ of scores with quality (minus the rank), over the responses that have a score. None if
    fewer than two have one, or either side is constant."""
    given, ranked = _scored(scores, ranks)
    return spearman_correlation(given, [-rank for rank in ranked])


def kendall(scores: Scores, ranks: Sequence[float]) -> float | None:
    """Kendall's τ-b of scores with quality (minus the rank), over the responses that have a score. None as for
    `spearman`."""
    given, ranked = _scored(scores, ranks)
    if len(given) < 2 or len(set(given)) == 1 or len(set(ranked)) == 1:
        return None
    return float(stats.kendalltau(given, [-rank for rank in ranked], variant="b").statistic)
