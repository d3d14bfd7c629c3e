"""EFT rows from ranked responses, without generation: ranks become scores on the rubric's scale.

The paper lets the SFT model write the judgements and keeps those that order the responses as people did (Self-Rewarding
Language Models, arXiv 2401.10020, section 2.1 and 3.1.1); here the people's order itself is spread over the scale.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from judgeloop.config import EftSection
from judgeloop.data.readers import supervised_row
from judgeloop.eft.justifications import justification_for
from judgeloop.errors import InputError
from judgeloop.judging.rubric import Rubric
from judgeloop.records import MAX_SCORE, RankedSet, SupervisedRow, derive_seed

WIDEST_STEP = 0.4  # of the scale: two points of five


def score_of(rank: int, levels: int, low: int = 0, high: int = MAX_SCORE) -> int:
    """The score of `rank` (0 is best) among `levels` different ranks, a whole number from `low` to `high`.

    Ranks lie evenly and centred on the scale, at most two points of five apart, halves rounded up: on the scale 0-5
    two ranks give 4 and 2 (the worse of two human answers is not worthless), three 5 3 1, four 5 3 2 0, five 5 4 3 1 0,
    six 5 4 3 2 1 0.
    """
    width = high - low
    step = min(WIDEST_STEP * width, width / (levels - 1)) if levels > 1 else 0.0
    return math.floor((low + high) / 2 + step * ((levels - 1) / 2 - rank) + 0.5)


def eft_rows(
    sets: Sequence[RankedSet], rubric: Rubric, justification: bool, seed: int, dropped: Counter[str]
) -> list[tuple[int, SupervisedRow]]:
    """(score, row) for each response: filled judge prompt → justification and score line, or the score line alone.

    A response's own `score` (rounded to a whole number) goes before the score of its rank; where the rubric's scale
    does not hold it, the response is left out and counted. A response that occurs twice in a set is kept at its better
    rank; the other is counted.
    """
    rows = []
    for ranked in sets:
        levels = ranked.responses[-1]["rank"] + 1
        for number, response in enumerate(distinct(ranked, dropped), 1):
            text = response["text"]
            if "score" in response:
                score = math.floor(response["score"] + 0.5)
            else:
                score = score_of(response["rank"], levels, rubric.low, rubric.high)
            if score not in rubric.scores:
                dropped["response with a score off the rubric's scale"] += 1
                continue
            why = None
            if justification:
                rng = random.Random(derive_seed(seed, "justification", ranked.id, number))
                why = justification_for(score, rubric, rng)
            prompt = rubric.messages(ranked.messages, text)
            rows.append(
                (score, supervised_row("eft", ranked.messages, prompt, rubric.target(score, why), ranked.source))
            )
    return rows


def distinct(ranked: RankedSet, dropped: Counter[str]) -> list[dict[str, Any]]:
    """The set's responses, best first, each text once, at its better rank; those left out are counted."""
    found: dict[str, dict[str, Any]] = {}
    for response in ranked.responses:
        if response["text"] in found:
            dropped["response that occurs twice in its set"] += 1
        else:
            found[response["text"]] = response
    return list(found.values())


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
