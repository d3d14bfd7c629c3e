"""Which of two responses a judge prefers: one way to read it for runs, commands, early stopping and the meta-judge.

A judge whose probabilities are known is read by those of A and B. If they hold less than `min_mass` of all probability
there is no preference, with the reason; if they are equal it is a tie ("neither"). Otherwise its text is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from judgeloop.config import JudgeSection
from judgeloop.engines.base import Engine, OptionRequest, Request, Sampling
from judgeloop.judging.parse_verdict import parse_verdict
from judgeloop.judging.rubric import Rubric
from judgeloop.judging.score_distribution import answer_options, normalise
from judgeloop.models.chat import Chat
from judgeloop.models.check_rows import RowCheck, check_rows
from judgeloop.records import Comparison, Message, Preference, derive_seed

SIDES = ("A", "B")


@dataclass(frozen=True, slots=True)
class ToCompare:
    """Two responses to one prompt, in the order the judge sees them."""

    id: str
    prompt: list[Message]
    first: str
    second: str


def compare(
    engine: Engine, chat: Chat, rubric: Rubric, items: Sequence[ToCompare], min_mass: float
) -> Iterator[Comparison]:
    """Yield one comparison per item, read from the probabilities of the answers A and B."""
    lead, options = answer_options(chat, rubric.score_line, SIDES)
    found = _prompts(chat, rubric, items, len(lead) + max(len(option) for option in options))
    yield from _not_put(found)
    requests = [OptionRequest(name, (*ids, *lead), options) for name, ids in found.usable.items()]
    for result in engine.option_logprobs(requests):
        yield weighed(result.request_id, result.logprobs, min_mass)


def compare_in_writing(
    engine: Engine, chat: Chat, rubric: Rubric, config: JudgeSection, items: Sequence[ToCompare], seed: int
) -> Iterator[Comparison]:
    """Yield one comparison per item, read from what the judge writes."""
    how = verdict_sampling(config)
    prompts = _prompts(chat, rubric, items, how.max_new_tokens)
    yield from _not_put(prompts)
    requests = [Request(name, ids, how, 1, derive_seed(seed, "compare", name)) for name, ids in prompts.usable.items()]
    by_id = {item.id: item for item in items}
    for found in engine.generate(requests):
        yield read_comparison(by_id[found.request_id], found.text, found.finish_reason)


def _prompts(chat: Chat, rubric: Rubric, items: Sequence[ToCompare], new_tokens: int) -> RowCheck:
    named = [(item.id, rubric.messages(item.prompt, item.first, item.second), "") for item in items]
    return check_rows(chat, named, new_tokens=new_tokens)


def _not_put(found: RowCheck) -> Iterator[Comparison]:
    """Comparisons that the judge cannot be asked for, each with the reason."""
    for name, reason in found.left_out.items():
        yield Comparison(name, None, None, "", reason)


def verdict_sampling(config: JudgeSection) -> Sampling:
    """Verdicts are greedy: one a pair and order."""
    return Sampling(config.sampling.max_new_tokens)


def weighed(id: str, logprobs: Sequence[float], min_mass: float, text: str = "") -> Comparison:
    """The comparison that the log-probabilities of A and B give; no preference if they hold less than `min_mass`."""
    (first, second), mass = normalise(logprobs)
    better: Preference | None = "first" if first > second else "second" if second > first else "neither"
    reason = None
    if mass < min_mass:
        better, reason = None, f"A and B have {mass:.0%} of the probability"
    return Comparison(id, better, round(first, 6), text, reason, round(mass, 6))


def read_comparison(item: ToCompare, text: str, finish_reason: str) -> Comparison:
    """The comparison that a text gives."""
    shown = (item.first, item.second)
    found = parse_verdict(text, shown)
    if finish_reason == "length" and found.value is not None:
        longer = {parse_verdict(f"{text} or {side}", shown).value for side in SIDES}
        if longer != {found.value}:  # it might have gone on: "A and B are equal"
            return Comparison(item.id, None, None, text, "cut off by length in the middle of the verdict")
    cut = ", cut off by length" if found.reason is not None and finish_reason == "length" else ""
    return Comparison(item.id, found.value, None, text, f"{found.reason}{cut}" if found.reason else None)
