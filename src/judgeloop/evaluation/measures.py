"""All that is measured on one model, as the fields of `eval.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from judgeloop.evaluation.agreement import agreement
from judgeloop.evaluation.health import judge_health
from judgeloop.evaluation.metrics import EvaluatedPrompt
from judgeloop.evaluation.win_rates import (
    Preferred,
    length_controlled_rate,
    outcome_of_orders,
    outcome_of_scores,
    win_rate,
)
from judgeloop.records import MAX_SCORE


@dataclass(frozen=True, slots=True)
class Duel:
    """The model against the previous one, one entry a prompt: what the judge preferred with the model's response
    shown first and shown second (None: not asked, scores decide), the pointwise scores of both models' responses, and
    their lengths in characters. `contrasts`: both models' contrasts, which decide in the scores' place."""

    previous: str
    orders: list[tuple[Preferred | None, Preferred | None]] | None
    scores: list[float | None] = field(default_factory=list)
    previous_scores: list[float | None] = field(default_factory=list)
    characters: list[int] = field(default_factory=list)
    previous_characters: list[int] = field(default_factory=list)
    contrasts: list[tuple[float | None, float | None]] | None = None


def measures(
    answered: Sequence[EvaluatedPrompt],
    *,
    seed: int,
    resamples: int = 1000,
    ranked: Sequence[tuple[Sequence[float | None], Sequence[float]]] = (),
    duel: Duel | None = None,
    valid: Sequence[bool] | None = None,
    repeated: Sequence[Sequence[float]] = (),
    scale: tuple[int, int] = (0, MAX_SCORE),
    perfect: float = float(MAX_SCORE),
) -> dict[str, Any]:
    """`prompts`, `judge_health`, `agreement`, `win_rate_vs_previous` and `length`, ready for JSON.

    `ranked` holds (scores, ranks) per held-out ranked prompt; `valid`, `repeated`, `scale` and `perfect` are as in
    `judge_health` and `agreement`. `agreement` is None without ranked prompts, `win_rate_vs_previous` without a duel.
    """
    health = judge_health(
        [a.scores for a in answered],
        [a.characters for a in answered],
        seed=seed,
        resamples=resamples,
        scale=scale,
        valid=valid,
        repeated=repeated,
    )
    return {
        "prompts": len(answered),
        "judge_health": health.as_dict(),
        "agreement": agreement(ranked, seed=seed, resamples=resamples, perfect=perfect).as_dict() if ranked else None,
        "win_rate_vs_previous": _duel(duel, seed, resamples) if duel is not None else None,
        "length": {
            "mean_characters": _mean([n for a in answered for n in a.characters]),
            "mean_tokens": _mean([n for a in answered for n in a.tokens]),
            "truncated_share": _mean([cut for a in answered for cut in a.truncated]),
        },
    }


def _duel(duel: Duel, seed: int, resamples: int) -> dict[str, Any]:
    by_score = [outcome_of_scores(a, b) for a, b in zip(duel.scores, duel.previous_scores, strict=True)]
    outcomes, by = by_score, "scores"
    if duel.orders is not None:
        outcomes, by = [outcome_of_orders(a, b) for a, b in duel.orders], "pairwise"
    elif duel.contrasts is not None:
        outcomes, by = [outcome_of_scores(a, b) for a, b in duel.contrasts], "contrasts"
    found: dict[str, Any] = {"previous": duel.previous, "by": by}
    found |= win_rate(outcomes, seed=seed, resamples=resamples).as_dict()
    found["length_controlled"] = None
    if duel.characters:
        controlled = length_controlled_rate(
            outcomes, duel.characters, duel.previous_characters, seed=seed, resamples=resamples
        )
        found["length_controlled"] = None if controlled is None else controlled.as_dict()
    found["by_score"] = win_rate(by_score, seed=seed, resamples=resamples).as_dict() if by_score else None
    return found


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
