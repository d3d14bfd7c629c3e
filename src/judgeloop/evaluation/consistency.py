"""How far two judges order the same responses alike: what the preference labels can be trusted with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from judgeloop.evaluation.agreement import kendall


@dataclass(frozen=True, slots=True)
class Consistency:
    """`rate`: mean over prompts of (τ + 1) / 2, 1 if the judges always agree, ½ if they might as well be dice.
    `smoothing`: the label smoothing that follows, 1 − rate, at most ½ (beyond it the labels would be turned round).
    `prompts` count those for which both judges order something."""

    rate: float | None
    smoothing: float
    prompts: int


def consistency(rows: Iterable[tuple[Sequence[float | None], Sequence[float | None]]]) -> Consistency:
    """Consistency of two judges' scores of the same responses, row = prompt; a response that one could not score is
    left out. CREAM (arXiv 2410.12735), section 4: Kendall's τ of the two rankings sets the smoothing of DPO.

    If no prompt is ordered by both, nothing is known: no rate, and the smoothing is ½.
    """
    found = []
    for ours, theirs in rows:
        both = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
        tau = kendall([a for a, _ in both], [-b for _, b in both]) if both else None
        if tau is not None:
            found.append((tau + 1) / 2)
    if not found:
        return Consistency(None, 0.5, 0)
    rate = sum(found) / len(found)
    return Consistency(rate, min(0.5, 1 - rate), len(found))
