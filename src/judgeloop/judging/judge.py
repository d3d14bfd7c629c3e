"""Ask a model to judge responses: written judgements (sampled) or the expected score, and comparisons of two.

Expected score: the mean over the judge's probabilities of the scores 0 to 5 right after its score line
(arXiv 2503.03064; G-Eval, arXiv 2303.16634).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from judgeloop.chat import Chat
from judgeloop.config import JudgeSection
from judgeloop.engines.base import Engine, OptionRequest, Request, Sampling
from judgeloop.judging.rubric import MAX_SCORE, Rubric
from judgeloop.judging.score import parse_score
from judgeloop.records import Judgement, Message, derive_seed


@dataclass(frozen=True, slots=True)
class ToJudge:
    """A response to judge: the id it is judged under, the prompt it answers, and its text."""

    id: str
    prompt: list[Message]
    response: str


def judge(
    engine: Engine, chat: Chat, rubric: Rubric, config: JudgeSection, items: Sequence[ToJudge], seed: int
) -> Iterator[Judgement]:
    """Yield K judgements of every item (one with expected scoring), as they finish. The score comes from the judge's
    own output only; where there is none it is None and `reason` says why."""
    if config.scoring == "expected":
        return _expected(engine, chat, rubric, config, items)
    return _sampled(engine, chat, rubric, config, items, seed)


def _sampled(
    engine: Engine, chat: Chat, rubric: Rubric, config: JudgeSection, items: Sequence[ToJudge], seed: int
) -> Iterator[Judgement]:
    sampling = Sampling(
        max_new_tokens=config.sampling.max_new_tokens,
        temperature=config.sampling.temperature,
        top_p=config.sampling.top_p,
        top_k=config.sampling.top_k,
    )
    requests = [
        Request(
            id=item.id,
            prompt_ids=tuple(chat.prompt_ids(rubric.messages(item.prompt, item.response))),
            sampling=sampling,
            n=config.samples,
            seed=derive_seed(seed, "judge", item.id),
        )
        for item in items
    ]
    for generation in engine.generate(requests):
        score = parse_score(generation.text)
        reason = score.reason
        if reason is not None and generation.finish_reason == "length":
            reason += ", cut off by length"
        yield Judgement(
            id=judgement_id(generation.request_id, generation.index),
            candidate_id=generation.request_id,
            k=generation.index,
            text=generation.text,
            score=score.value,
            reason=reason,
        )


def _expected(
    engine: Engine, chat: Chat, rubric: Rubric, config: JudgeSection, items: Sequence[ToJudge]
) -> Iterator[Judgement]:
    lead, options = answer_options(chat, rubric.score_line, [str(score) for score in range(MAX_SCORE + 1)])
    requests = [
        OptionRequest(item.id, (*chat.prompt_ids(rubric.messages(item.prompt, item.response)), *lead), options)
        for item in items
    ]
    for result in engine.option_logprobs(requests):
        distribution, mass = normalise(result.logprobs)
        score = sum(value * share for value, share in enumerate(distribution))
        low = mass < config.min_mass
        yield Judgement(
            id=judgement_id(result.request_id, 0),
            candidate_id=result.request_id,
            k=0,
            text="",
            score=None if low else round(score, 6),
            reason=f"scores have {mass:.0%} of the probability" if low else None,
            distribution=[round(share, 6) for share in distribution],
            mass=round(mass, 6),
        )


def judgement_id(candidate_id: str, k: int) -> str:
    return f"{candidate_id}.j{k}"


def answer_options(
    chat: Chat, label: str, answers: Sequence[str]
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Token ids of `label + answer` for each answer, split into what all share and what tells them apart.

    Reading the ids of the whole line keeps the tokenizer's way with spaces: "Score: 5" may be `Score` `:` ` ` `5`.
    """
    lines = [tuple(chat.text_ids(label + answer)) for answer in answers]
    shared = 0
    while all(len(line) > shared + 1 for line in lines) and len({line[shared] for line in lines}) == 1:
        shared += 1
    return lines[0][:shared], tuple(line[shared:] for line in lines)


def normalise(logprobs: Sequence[float]) -> tuple[list[float], float]:
    """Probabilities over the options (summing to 1), and their share of the whole vocabulary's probability."""
    top = max(logprobs)
    if top == -math.inf:
        return [1 / len(logprobs)] * len(logprobs), 0.0
    weights = [math.exp(value - top) for value in logprobs]
    total = sum(weights)
    return [weight / total for weight in weights], min(1.0, total * math.exp(top))


Better = Literal["first", "second"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which of two responses the judge prefers, in one order. `first_probability` of A among A and B."""

    id: str
    better: Better | None
    first_probability: float


@dataclass(frozen=True, slots=True)
class ToCompare:
    """Two responses to one prompt, in the order the judge sees them."""

    id: str
    prompt: list[Message]
    first: str
    second: str


def compare(engine: Engine, chat: Chat, rubric: Rubric, items: Sequence[ToCompare]) -> Iterator[Comparison]:
    """Yield one comparison per item, read from the probabilities of the answers A and B."""
    lead, options = answer_options(chat, rubric.score_line, ["A", "B"])
    requests = [
        OptionRequest(
            item.id, (*chat.prompt_ids(rubric.messages(item.prompt, item.first, item.second)), *lead), options
        )
        for item in items
    ]
    for result in engine.option_logprobs(requests):
        (first, second), _ = normalise(result.logprobs)
        better: Better | None = "first" if first > second else "second" if second > first else None
        yield Comparison(result.request_id, better, round(first, 6))
