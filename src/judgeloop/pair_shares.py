"""Which of an iteration's pairs are trained on, by share: those whose chosen answers score highest, and those whose two
answers the judge holds furthest apart.

Shares, not bounds, because scores rise over the iterations. Pure functions of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from judgeloop.records import PreferencePair


def best_chosen(pairs: Sequence[PreferencePair], share: float) -> list[PreferencePair]:
    """The share of the pairs (at least one, if there are any) whose chosen answers score highest, in their order."""
    return _most(pairs, share, lambda pair: pair.chosen_score)


def widest(pairs: Sequence[PreferencePair], share: float) -> list[PreferencePair]:
    """The share of the pairs (at least one, if there are any) whose scores differ most, in their order.

    A judge errs least where it sees the largest difference. Between two answers that it holds nearly equal, what it
    prefers is mostly its taste, and a model trained on that learns the taste.
    """
    return _most(pairs, share, lambda pair: pair.chosen_score - pair.rejected_score)


def _most(
    pairs: Sequence[PreferencePair], share: float, value: Callable[[PreferencePair], float]
) -> list[PreferencePair]:
    count = max(1, round(share * len(pairs)))
    kept = {pair.id for pair in sorted(pairs, key=lambda pair: (-value(pair), pair.id))[:count]}
    return [pair for pair in pairs if pair.id in kept]
