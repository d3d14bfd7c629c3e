"""Judgements whose justification is written and whose score is drawn by the probabilities that the model gives the
scores after it. A small model that rarely writes a score line still says, if asked at the right place, how likely it
finds each score; so every finished justification has one. Whether the scores mean anything is for the ranks to show.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from judgeloop.config import EftSection
from judgeloop.engines.base import Engine, OptionRequest, Request, Sampling
from judgeloop.judging.pointwise import SCORE_ROOM, ToJudge, judge_prompts, judgement_id, score_beginnings
from judgeloop.judging.rubric import Rubric
from judgeloop.judging.score_distribution import answer_options, exclusive, normalise
from judgeloop.models.chat import Chat
from judgeloop.records import Judgement, derive_seed

NO_JUSTIFICATION = "no justification before the score"
CUT = "justification cut off by length"
MARKS = "*_#>`\"'“‘ \n\t-"  # what models put before their score line
_TOGETHER = 64  # responses whose scores are drawn in one go: what a kill may cost


def drawn(
    engine: Engine,
    chat: Chat,
    rubric: Rubric,
    section: EftSection,
    items: Sequence[ToJudge],
    seed: int,
    *,
    justification: bool,
) -> Iterator[Judgement]:
    """Yield `section.samples` judgements of every item. `text` is the justification: `section.opening` and what the
    model writes after it, its first paragraph, up to where a score line begins; `score` is what was drawn and
    `distribution` what it was drawn from. A justification that is empty or was cut off by length has no score. Without
    `justification` the score is drawn right after the prompt."""
    for start in range(0, len(items), _TOGETHER):
        some = items[start : start + _TOGETHER]
        written = section.sampling.max_new_tokens if justification else 0
        check = judge_prompts(chat, rubric, some, SCORE_ROOM + written)
        for name, why in check.left_out.items():
            yield from (Judgement(judgement_id(name, k), name, k, "", None, why) for k in range(section.samples))
        prompts = check.usable
        finished: dict[tuple[str, str], list[int]] = defaultdict(list)  # (item, justification) → sample numbers
        if not justification:
            finished.update({(name, ""): list(range(section.samples)) for name in prompts})
        else:
            opening = tuple(chat.response_ids(section.opening, finished=False))
            requests = [_request(name, (*ids, *opening), rubric, section, seed) for name, ids in prompts.items()]
            for generation in engine.generate(requests):
                name, k = generation.request_id, generation.index
                whole = section.opening + generation.text
                reason = CUT if generation.finish_reason == "length" else None
                if reason is None and not generation.text.strip(MARKS):
                    reason = NO_JUSTIFICATION
                if reason is not None:
                    yield Judgement(judgement_id(name, k), name, k, whole, None, reason)
                else:
                    finished[name, whole.strip().rstrip(MARKS)].append(k)
        yield from _scores(engine, chat, rubric, prompts, finished, seed)


def _request(name: str, ids: tuple[int, ...], rubric: Rubric, section: EftSection, seed: int) -> Request:
    how = section.sampling
    stops = (*score_beginnings(rubric), "\n\n")
    sampling = Sampling(how.max_new_tokens, how.temperature, how.top_p, how.top_k, stops)
    return Request(name, ids, sampling, section.samples, derive_seed(seed, "justification", name))


def _scores(
    engine: Engine,
    chat: Chat,
    rubric: Rubric,
    prompts: dict[str, tuple[int, ...]],
    finished: dict[tuple[str, str], list[int]],
    seed: int,
) -> Iterator[Judgement]:
    """A score for each justification, drawn under a seed of the sample's own."""
    answers = [str(score) for score in rubric.scores]
    asked = []
    for number, (name, text) in enumerate(finished):
        line = f"{text}\n\n{rubric.score_line}" if text else rubric.score_line
        lead, options = answer_options(chat, line, answers)
        asked.append(OptionRequest(str(number), (*prompts[name], *lead), options))
    places = list(finished.items())
    for found in engine.option_logprobs(asked):
        number = int(found.request_id)
        (name, text), samples = places[number]
        shares, mass = normalise(exclusive(asked[number].options, found.logprobs))
        distribution = [round(share, 6) for share in shares]
        for k in samples:
            rng = random.Random(derive_seed(seed, "score", name, k))
            (score,) = rng.choices(list(rubric.scores), shares)
            yield Judgement(judgement_id(name, k), name, k, text, score, None, distribution, round(mass, 6))
