"""Scores set against other prompts: own score − λ · mean score of the same response under other prompts.

A small judge hardly reads the prompt: what a response would get whatever was asked is bias. Kin: contextual calibration
(arXiv 2102.09690) and domain-conditional PMI (arXiv 2104.08315), which take off what an answer gets without the
question; here other real prompts are the null.

A judgement under another prompt is filed under a name of its own (`name_under`), which is no candidate's id. Whoever
joins or averages judgements by candidate cannot mix it into the candidate's own score.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from judgeloop.config import ContrastSection
from judgeloop.errors import InputError
from judgeloop.judging.pointwise import ToJudge
from judgeloop.records import Judgement, Prompt, derive_seed
from judgeloop.text.tokens import rouge_l, tokens_of

Others = Mapping[str, Sequence[Prompt]]  # prompt id → the other prompts that its responses are judged under
_AT = "@"
_POOL = 1000  # prompts among which a prompt's others are sought


def name_under(name: str, other: str) -> str:
    """What the response `name` is called where it is judged under the prompt of id `other`."""
    return f"{name}{_AT}{other}"


def response_and_other(name: str) -> tuple[str, str | None]:
    """The response's own name, and the id of the other prompt that it is judged under; None under its own."""
    response, _, other = name.partition(_AT)
    return response, other or None


def own(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The judgements of responses under their own prompts."""
    return [row for row in judgements if _AT not in row.candidate_id]


def draw_others(
    prompts: Sequence[Prompt], section: ContrastSection, seed: int, *, count: int, required: str | None = None
) -> dict[str, list[Prompt]]:
    """For each prompt `count` other ones, by `section.draw`; fewer if fewer differ from it enough.

    They are sought among up to 1,000 that are drawn for the prompt, so the work grows with the number of prompts and
    not with its square. Random draws and ties go by the seed and the prompts' ids, whatever their order. `required`
    names the key that needs them: InputError if there are not enough prompts, or no two that differ.
    """
    from judgeloop.text.similarity import IDENTICAL

    if required is not None and len(prompts) <= count:
        raise InputError(f"{required}: there are {len(prompts)} prompts, and {count} others are wanted; set fewer")
    bound = min(section.max_similarity, IDENTICAL)
    ordered = sorted(prompts, key=lambda prompt: prompt.id)
    tokens = {prompt.id: tokens_of(asked_in(prompt)) for prompt in ordered}
    found: dict[str, list[Prompt]] = {}
    for place, prompt in enumerate(ordered):
        rng = random.Random(derive_seed(seed, "contrast", prompt.id))
        drawn = rng.sample(range(len(ordered) - 1), min(len(ordered) - 1, _POOL))
        pool = (ordered[index + (index >= place)] for index in drawn)
        near = ((rouge_l(tokens[prompt.id], tokens[other.id]), other) for other in pool)
        allowed: Iterable[tuple[float, Prompt]] = (entry for entry in near if entry[0] <= bound)
        if section.draw != "random":
            allowed = sorted(allowed, key=lambda entry: -entry[0] if section.draw == "near" else entry[0])
        found[prompt.id] = [other for _, other in islice(allowed, count)]
    if required is not None and not any(found.values()):
        raise InputError(
            f"judge.contrast.max_similarity: all prompts are alike (ROUGE-L above {section.max_similarity:g}), there "
            "are no others to set scores against; raise it, or switch contrast off"
        )
    return found


def asked_in(prompt: Prompt) -> str:
    """All turns of a conversation: a reply answers them all. A system message is no question, and often everyone's."""
    return "\n".join(turn["content"] for turn in prompt.messages if turn["role"] != "system")


def measured_prompts(prompts: Iterable[str], count: int, seed: int) -> set[str]:
    """The ids of `count` prompts, drawn by the seed: those whose responses show how blind the judge is."""
    return set(sorted(prompts, key=lambda name: derive_seed(seed, "contrast measured", name))[:count])


def under_others(asked: Iterable[tuple[str, ToJudge]], others: Others) -> list[ToJudge]:
    """Responses, each with the id of its prompt, once more under each of its prompt's other ones. They are in no group:
    all of them are judged equally often."""
    return [
        replace(item, id=name_under(item.id, other.id), prompt=other.messages, group="")
        for prompt, item in asked
        for other in others.get(prompt, ())
    ]


def contrasts(scores: Mapping[str, float | None], weight: float) -> dict[str, float | None]:
    """Response → own score − `weight` · mean of its scores under other prompts, from the mean scores of all names.

    None if one of these scores is missing: responses to a prompt are compared by the same other prompts or not at all.
    A response that was judged under no other prompt has None too.
    """
    elsewhere: dict[str, list[float | None]] = {name: [] for name in scores if _AT not in name}
    for name, score in scores.items():
        response, other = response_and_other(name)
        if other is not None:
            elsewhere.setdefault(response, []).append(score)
    return {name: _contrast(scores.get(name), given, weight) for name, given in elsewhere.items()}


def _contrast(score: float | None, others: Sequence[float | None], weight: float) -> float | None:
    known = [other for other in others if other is not None]
    if score is None or not known or len(known) < len(others):
        return None
    return score - weight * math.fsum(known) / len(known)
