"""More judgements if they decide something: for prompts whose best and worst response cannot be told apart yet.

Between judgements of one response the judge contradicts itself; its spread, pooled over the responses to a prompt, says
how far two means may lie apart by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from judgeloop.config import JudgeSection
from judgeloop.engines.base import Engine
from judgeloop.judging.pointwise import ToJudge, judge, judgement_id, judgements_each
from judgeloop.judging.rubric import Rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Judgement


def undecided(scores: Mapping[str, Sequence[float | None]], noise: float) -> bool:
    """Do the responses to one prompt need another round of judgements?

    `scores`: response id → its judgements so far, None where one could not be read. With mean m, valid count n and
    pooled variance s² = Σ(x − m)² / Σ(n − 1), the best and the worst mean are within noise if they differ by at most
    noise · s · √(1/n_best + 1/n_worst); a tie always is, and so are means of a single judgement each. All responses are
    then asked again: of three means, the middle one is always within noise of one of the two that are within noise of
    each other. If fewer than two responses have a valid judgement, any that is missing is worth asking for.
    """
    valid = [[x for x in row if x is not None] for row in scores.values()]
    read = [row for row in valid if row]
    if len(read) < 2:
        return len(scores) > 1
    means = [sum(row) / len(row) for row in read]
    freedom = sum(len(row) - 1 for row in read)
    spread = sum((x - mean) ** 2 for mean, row in zip(means, read, strict=True) for x in row)
    deviation = math.sqrt(spread / freedom) if freedom else math.inf
    best = max(range(len(read)), key=means.__getitem__)
    worst = min(range(len(read)), key=means.__getitem__)
    gap = means[best] - means[worst]
    if not noise:
        return gap <= 1e-9
    return gap <= noise * deviation * math.sqrt(1 / len(read[best]) + 1 / len(read[worst])) + 1e-9


def judge_in_rounds(
    opened: Callable[[], tuple[Engine, Chat]],
    rubric: Rubric,
    config: JudgeSection,
    items: Sequence[ToJudge],
    have: Mapping[str, float | None],
    seed: int,
) -> Iterator[Judgement]:
    """Yield every judgement that the items are owed and that is not among `have` (scores by their judgements' ids), as
    they finish.

    First K of every item; then, if the config sets `max_samples`, rounds of up to K more for each group that is
    undecided, until it is decided or its items have that many. Who is asked again depends on the group's judgements
    alone, so a resumed call asks what the first one would have. `opened` gives engine and chat; it is called only when
    something is owed.
    """
    known = dict(have)
    each = judgements_each(config)
    bound = (config.max_samples or each) if any(item.group for item in items) else each
    asked = list(items)
    first = 0
    while asked:
        count = min(each, bound - first)
        names = range(first, first + count)
        owed = [item for item in asked if any(judgement_id(item.id, k) not in known for k in names)]
        if owed:
            engine, chat = opened()
            for row in judge(engine, chat, rubric, config, owed, seed, first=first, count=count):
                if row.id not in known:
                    known[row.id] = row.score
                    yield row
        first += count
        if first >= bound:
            return
        open_groups = _undecided_groups(asked, known, first, config.noise)
        asked = [item for item in asked if item.group in open_groups]


def _undecided_groups(
    items: Sequence[ToJudge], known: Mapping[str, float | None], judgements: int, noise: float
) -> set[str]:
    groups: dict[str, dict[str, list[float | None]]] = {}
    for item in items:
        if item.group:
            scores = [known[judgement_id(item.id, k)] for k in range(judgements)]
            groups.setdefault(item.group, {})[item.id] = scores
    return {group for group, scores in groups.items() if undecided(scores, noise)}
