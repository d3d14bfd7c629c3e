"""EFT rows from ranked responses, without generation: ranks become scores on the rubric's scale.

The paper lets the SFT model write the judgements and keeps those that order the responses as people did (Self-Rewarding
Language Models, arXiv 2401.10020, section 2.1 and 3.1.1); here the people's order itself is spread over the scale.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

from judgeloop.config import EftSection
from judgeloop.errors import InputError
from judgeloop.judging.rubric import MAX_SCORE, Rubric
from judgeloop.records import RankedSet, SupervisedRow, derive_seed
from judgeloop.seed.justifications import justification_for
from judgeloop.seed.readers import supervised_row

WIDEST_STEP = 2.0


def score_of(rank: int, levels: int) -> int:
    """The score of `rank` (0 is best) among `levels` different ranks, a whole number from 0 to 5.

    Ranks lie evenly and centred on the scale, at most two points apart, halves rounded up: two ranks give 4 and 2
    (the worse of two human answers is not worthless), three 5 3 1, four 5 3 2 0, five 5 4 3 1 0, six 5 4 3 2 1 0.
    """
    step = min(WIDEST_STEP, MAX_SCORE / (levels - 1)) if levels > 1 else 0.0
    return math.floor(MAX_SCORE / 2 + step * ((levels - 1) / 2 - rank) + 0.5)


def eft_rows(
    sets: Sequence[RankedSet], rubric: Rubric, justification: bool, seed: int, dropped: Counter[str]
) -> list[tuple[int, SupervisedRow]]:
    """(score, row) for each response: filled judge prompt → justification and score line, or the score line alone.

    A response's own `score` (rounded to a whole number) goes before the score of its rank. A response that occurs
    twice in a set is kept at its better rank; the other is counted.
    """
    rows = []
    for ranked in sets:
        levels = ranked.responses[-1]["rank"] + 1
        seen: set[str] = set()
        for response in ranked.responses:
            text = response["text"]
            if text in seen:
                dropped["response that occurs twice in its set"] += 1
                continue
            seen.add(text)
            score = math.floor(response["score"] + 0.5) if "score" in response else score_of(response["rank"], levels)
            why = None
            if justification:
                rng = random.Random(derive_seed(seed, "justification", ranked.id, len(seen)))
                why = justification_for(score, rubric.score_line, rng)
            prompt = rubric.messages(ranked.messages, text)
            rows.append(
                (score, supervised_row("eft", ranked.messages, prompt, rubric.target(score, why), ranked.source))
            )
    return rows


def balanced(
    rows: Sequence[tuple[int, SupervisedRow]], config: EftSection, seed: int, dropped: Counter[str]
) -> list[tuple[int, SupervisedRow]]:
    """At most `max_rows`, and no score above `max_share` of what is kept; the surplus is drawn at random and counted.

    Raises InputError where no share so small can hold for the scores there are.
    """
    order = list(range(len(rows)))
    random.Random(derive_seed(seed, "eft_rows")).shuffle(order)
    kept = _within_share(rows, order, config.max_share)
    dropped["EFT row above eft.max_share"] += len(order) - len(kept)
    if config.max_rows is not None and len(kept) > config.max_rows:
        cut = _within_share(rows, kept[: config.max_rows], config.max_share)
        dropped["EFT row above eft.max_rows"] += len(kept) - len(cut)
        kept = cut
    return [rows[i] for i in sorted(kept)]


def _within_share(rows: Sequence[tuple[int, SupervisedRow]], order: Sequence[int], share: float) -> list[int]:
    """The longest beginning of each score's rows such that no score holds more than `share` of all that stay."""
    counts = Counter(rows[i][0] for i in order)
    cap = max(counts.values(), default=0)
    while cap and cap > share * sum(min(count, cap) for count in counts.values()) + 1e-9:
        cap -= 1
    if counts and not cap:
        raise InputError(
            f"seed_data.eft.max_share: {share:g} cannot hold with {len(counts)} different scores in the EFT rows; "
            f"set it to at least {1 / len(counts):.2f}"
        )
    taken: Counter[int] = Counter()
    kept = []
    for i in order:
        score = rows[i][0]
        if taken[score] < cap:
            taken[score] += 1
            kept.append(i)
    return kept
