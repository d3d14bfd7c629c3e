"""The score of a candidate: the mean over its judgements."""

from __future__ import annotations

from collections.abc import Iterable

from judgeloop.records import Judgement


def mean_scores(judgements: Iterable[Judgement], min_valid: int = 1) -> dict[str, float | None]:
    """Candidate id → mean over its valid judgements (the paper: K = 3), None with fewer than `min_valid` of them."""
    valid: dict[str, list[float]] = {}
    for judgement in judgements:
        scores = valid.setdefault(judgement.candidate_id, [])
        if judgement.score is not None:
            scores.append(judgement.score)
    return {name: sum(s) / len(s) if len(s) >= max(1, min_valid) else None for name, s in valid.items()}
