"""Do scores order the responses of a set as people ranked them? Pure functions of ranks and scores.

Self-Rewarding Language Models (arXiv 2401.10020, section 3.1.1) keeps a set of written judgements only where they do.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

Ties = Literal["strict", "lenient"]
Outcome = Literal["first", "later", "combined", "disagreed", "tied", "unparseable"]
AGREED: tuple[Outcome, ...] = ("first", "later", "combined")
OUTCOMES: tuple[Outcome, ...] = (*AGREED, "disagreed", "tied", "unparseable")
_TRIALS = 20_000


@dataclass(frozen=True, slots=True)
class Choice:
    """What became of a set, and which sample of each response was chosen where it agreed.

    "first": the first samples agree; "later": the k-th ones of all responses do; "combined": samples of different
    numbers do. Else "unparseable": a response has no sample with a score; "tied": only ties are in the way (some
    choice of samples reverses nothing); "disagreed": every choice reverses a pair.
    """

    outcome: Outcome
    samples: tuple[int, ...] = ()


def agree(ranks: Sequence[int], scores: Sequence[int], ties: Ties) -> bool:
    """Whether the scores order the responses as the ranks do (rank 0 is best; equal ranks ask for nothing).

    "strict": of two responses ranked apart the better has the higher score. "lenient": it has no lower one, and not
    all scores are equal.
    """
    if ties == "lenient" and len(set(scores)) == 1:
        return False
    least = 1 if ties == "strict" else 0
    pairs = [(i, j) for i, rank in enumerate(ranks) for j, other in enumerate(ranks) if rank < other]
    return all(scores[i] - scores[j] >= least for i, j in pairs)


def choose(ranks: Sequence[int], samples: Sequence[Sequence[int | None]], ties: Ties) -> Choice:
    """The first choice of samples that agrees: the k-th of every response, k = 0, 1, …, else the first combination in
    the order of sample numbers, the best response's first.

    `ranks` do not decrease; `samples[i]` holds the scores of response i's samples, None where a sample has none.
    """
    for k, column in enumerate(zip(*samples, strict=True)):
        scores = [score for score in column if score is not None]
        if len(scores) == len(ranks) and agree(ranks, scores, ties):
            return Choice("first" if k == 0 else "later", (k,) * len(ranks))
    if not all(any(score is not None for score in row) for row in samples):
        return Choice("unparseable")
    found = _combination(ranks, samples, ties)
    if found is not None:
        return Choice("combined", found)
    return Choice("disagreed" if _combination(ranks, samples, None) is None else "tied")


def _combination(
    ranks: Sequence[int], samples: Sequence[Sequence[int | None]], ties: Ties | None
) -> tuple[int, ...] | None:
    """The first combination that agrees, None where there is none; `ties` None allows any tie.

    What follows depends on the samples chosen so far only through the lowest score of the better ranks, the lowest
    within the present rank, and whether all are equal: states that led nowhere are not tried again.
    """
    above = 10**9
    least = 1 if ties == "strict" else 0

    @cache
    def complete(place: int, better: int, same: int, only: int | None, differ: bool) -> tuple[int, ...] | None:
        """Samples for the responses from `place` on. `better` and `same`: the lowest scores so far of better ranks
        and of this rank; `only`: the one score so far; `differ`: there is more than one."""
        if place == len(ranks):
            return () if differ or ties != "lenient" else None
        if place and ranks[place] != ranks[place - 1]:
            better, same = min(better, same), above
        for k, score in enumerate(samples[place]):
            if score is None or better - score < least:
                continue
            distinct = differ or (only is not None and score != only)
            rest = complete(place + 1, better, min(same, score), score, distinct)
            if rest is not None:
                return (k, *rest)
        return None

    return complete(0, above, above, None, False)


def by_chance(
    ranks: Sequence[Sequence[int]], samples: Sequence[Sequence[Sequence[int | None]]], ties: Ties, seed: int
) -> float:
    """How many sets would agree if this judge's scores had nothing to do with the responses: the mean number over
    random exchanges of all responses' scores (each keeps its samples together), at most twenty of them."""
    if not ranks:
        return 0.0
    rows = [row for rows in samples for row in rows]
    rng = random.Random(seed)
    rounds = max(1, min(20, _TRIALS // len(ranks)))
    agreed = 0
    for _ in range(rounds):
        rng.shuffle(rows)
        dealt = iter(rows)
        agreed += sum(choose(of, [next(dealt) for _ in of], ties).outcome in AGREED for of in ranks)
    return agreed / rounds
