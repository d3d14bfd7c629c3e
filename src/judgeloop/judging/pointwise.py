"""Ask a model for scores: written judgements (sampled), or the expected score (`score_distribution`), with or without a
written justification before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from judgeloop.config import JudgeSection
from judgeloop.engines.base import Engine, Generation, OptionRequest, Request, Sampling
from judgeloop.errors import InputError
from judgeloop.judging.copied_scores import blank_copies
from judgeloop.judging.parse_score import UNCLOSED, Score, parse_score, score_place
from judgeloop.judging.rubric import Rubric
from judgeloop.judging.score_distribution import answer_options, exclusive, expectation, normalise
from judgeloop.models.chat import Chat
from judgeloop.models.check_rows import RowCheck, check_rows
from judgeloop.records import Judgement, Message, derive_seed
from judgeloop.text.thoughts import split_thought

SCORE_ROOM = 16  # tokens that a score line may have
_TOGETHER = 128  # justifications that are written before their scores are read: what a kill may cost


@dataclass(frozen=True, slots=True)
class ToJudge:
    """A response to judge: the id it is judged under, the prompt it answers, and its text. Items of one `group`
    (the responses to one prompt) compete, see `judging.adaptive`."""

    id: str
    prompt: list[Message]
    response: str
    group: str = ""


def judge(
    engine: Engine,
    chat: Chat,
    rubric: Rubric,
    config: JudgeSection,
    items: Sequence[ToJudge],
    seed: int,
    *,
    first: int = 0,
    count: int | None = None,
) -> Iterator[Judgement]:
    """Yield judgements `first` ≤ k < `first + count` of every item, as they finish; without `count` as many as the
    config says (`judgements_each`). The score comes from the judge's own output only; if there is none it is None and
    `reason` says why, also for an item whose judge prompt is longer than the judge's positions. The same arguments give
    the same judgements, whichever other items are asked about."""
    count = judgements_each(config) if count is None else count
    written = config.scoring == "sampled" or config.justification
    found = judge_prompts(chat, rubric, items, tokens_written(config))
    for name, reason in found.left_out.items():
        for k in range(first, first + count):
            yield Judgement(judgement_id(name, k), name, k, "", None, reason)
    if not written:
        yield from _expected(engine, chat, rubric, config, found.usable)
        return
    sampling = Sampling(
        max_new_tokens=config.sampling.max_new_tokens,
        temperature=config.sampling.temperature,
        top_p=config.sampling.top_p,
        top_k=config.sampling.top_k,
        stop_strings=score_beginnings(rubric) if config.scoring == "expected" else (),
    )
    requests = [
        Request(name, ids, sampling, count, derive_seed(seed, "judge", name, *([first] if first else [])))
        for name, ids in found.usable.items()
    ]
    if config.scoring == "expected":
        yield from _expected_after_justification(engine, chat, rubric, config, requests, first)
    else:
        yield from _sampled(engine, rubric, requests, {item.id: item.response for item in items}, first)


def judge_prompts(chat: Chat, rubric: Rubric, items: Sequence[ToJudge], new_tokens: int) -> RowCheck:
    """The prompts that ask a judge for the items' scores, and why some cannot be put to it: with what it may write,
    they are longer than its positions."""
    named = [(item.id, rubric.messages(item.prompt, item.response), "") for item in items]
    return check_rows(chat, named, new_tokens=new_tokens)


def tokens_written(config: JudgeSection) -> int:
    """Tokens that a judge may write after its prompt, the line of an expected score included."""
    written = config.scoring == "sampled" or config.justification
    line = SCORE_ROOM if config.scoring == "expected" else 0
    return (config.sampling.max_new_tokens if written else 0) + line


def judgements_each(config: JudgeSection) -> int:
    """Judgements that every item gets: K if they are written, else one."""
    return config.samples if config.scoring == "sampled" or config.justification else 1


def score_beginnings(rubric: Rubric) -> tuple[str, ...]:
    """How a judge may begin its score line: there its justification ends."""
    if rubric.form is not None:
        return (rubric.score_line.strip(),)
    words = dict.fromkeys([rubric.label, rubric.label.lower(), rubric.label.upper()])
    return tuple(word + colon for word in words for colon in (":", "：", "**:", " :"))


def _sampled(
    engine: Engine, rubric: Rubric, requests: Sequence[Request], responses: dict[str, str], first: int
) -> Iterator[Judgement]:
    for generation in engine.generate(requests):
        score = read_score(rubric, generation.text, responses[generation.request_id], generation.finish_reason)
        yield Judgement(
            id=judgement_id(generation.request_id, first + generation.index),
            candidate_id=generation.request_id,
            k=first + generation.index,
            text=generation.text,
            score=score.value,
            reason=score.reason,
        )


def read_score(rubric: Rubric, text: str, response: str, finish_reason: str = "stop") -> Score:
    """The score in a judge's text; score lines it copied from the response do not count."""
    cut = finish_reason == "length"
    own, copies = blank_copies(text, response, rubric.label, rubric.form, cut=cut)

    def read(text: str) -> Score:
        return parse_score(text, rubric.low, rubric.high, rubric.label, rubric.form)

    score = read(own)
    if score.reason is not None:
        reason = score.reason + (", only copied from the response" if copies else "")
        return Score(None, reason + (", cut off by length" if cut else ""))
    if cut and read(own + "9") != score:
        return Score(None, "cut off by length in the middle of the score line")
    return score


def number_place(rubric: Rubric, text: str, response: str, score: float) -> int | None:
    """Where in a judge's text the number begins that `read_score` read as `score`; None if that is not certain."""
    own, _ = blank_copies(text, response, rubric.label, rubric.form)
    number = _number(rubric, own, score)
    return number.start() if number is not None else None


def taught_score(rubric: Rubric, text: str) -> tuple[int, int]:
    """Where a judgement's score is, from its first digit to after its last, if it is one that the judge is asked about
    when its probabilities are read: a whole score of the scale, written in plain digits.

    Raises InputError if it is not.
    """
    read = parse_score(text, rubric.low, rubric.high, rubric.label, rubric.form)
    number = _number(rubric, text, read.value) if read.value is not None else None
    whole = number.group().partition(".")[0] if number is not None else ""
    if number is None or whole not in [str(score) for score in rubric.scores] or read.value != int(whole):
        said = read.reason or f"the score {read.value:g} in '{text.strip()[-40:]}'"
        raise InputError(
            f"{said} is none of {rubric.low}, {rubric.low + 1}, …, {rubric.high} in plain digits, the scores whose "
            "probabilities are read; round it, or set sft.eft_loss: all"
        )
    return number.start(), number.start() + len(whole)


def _number(rubric: Rubric, text: str, score: float) -> re.Match[str] | None:
    """The digits in a judge's text that were read as `score`; None if that is not certain."""
    place = score_place(text, rubric.low, rubric.high, rubric.label, rubric.form)
    if place is None:
        return None
    after = max((text.rfind(mark, *place) for mark in ":：=|>{["), default=place[0])
    digits = re.compile(r"\d+(?:\.\d+)?")
    number = digits.search(text, max(after, place[0]), place[1])
    if number is not None and float(number.group()) == score:
        return number
    equal = [found for found in digits.finditer(text, *place) if float(found.group()) == score]
    return equal[0] if len(equal) == 1 else None


def _expected(
    engine: Engine, chat: Chat, rubric: Rubric, config: JudgeSection, prompts: Mapping[str, tuple[int, ...]]
) -> Iterator[Judgement]:
    lead, options = answer_options(chat, rubric.score_line, [str(score) for score in rubric.scores])
    requests = [OptionRequest(name, (*ids, *lead), options) for name, ids in prompts.items()]
    for result in engine.option_logprobs(requests):
        yield _from_distribution(rubric, config, result.request_id, 0, "", exclusive(options, result.logprobs))


def _expected_after_justification(
    engine: Engine, chat: Chat, rubric: Rubric, config: JudgeSection, requests: Sequence[Request], first: int
) -> Iterator[Judgement]:
    """The justification is written up to its score line, then the score is read after the line as EFT rows have it."""
    answers = [str(score) for score in rubric.scores]
    size = max(1, _TOGETHER // requests[0].n) if requests else 1
    for start in range(0, len(requests), size):
        some = requests[start : start + size]
        prompts = {request.id: request.prompt_ids for request in some}
        written: dict[str, tuple[Generation, OptionRequest]] = {}
        for generation in engine.generate(some):
            k = first + generation.index
            name = judgement_id(generation.request_id, k)
            if split_thought(generation.text).answer is None:
                yield Judgement(name, generation.request_id, k, generation.text, None, UNCLOSED)
                continue
            reasons = generation.text.strip().rstrip("*_#>`\"'“‘ \n\t-")
            line = f"{reasons}\n\n{rubric.score_line}" if reasons else rubric.score_line
            lead, options = answer_options(chat, line, answers)
            asked = OptionRequest(name, (*prompts[generation.request_id], *lead), options)
            written[name] = (generation, asked)
        for result in engine.option_logprobs([asked for _, asked in written.values()]):
            generation, asked = written[result.request_id]
            logprobs = exclusive(asked.options, result.logprobs)
            k = first + generation.index
            yield _from_distribution(rubric, config, generation.request_id, k, generation.text, logprobs)


def _from_distribution(
    rubric: Rubric, config: JudgeSection, item_id: str, k: int, text: str, logprobs: Sequence[float]
) -> Judgement:
    distribution, mass = normalise(logprobs)
    low = mass < config.min_mass
    return Judgement(
        id=judgement_id(item_id, k),
        candidate_id=item_id,
        k=k,
        text=text,
        score=None if low else round(expectation(rubric.scores, distribution), 6),
        reason=f"scores have {mass:.0%} of the probability" if low else None,
        distribution=[round(share, 6) for share in distribution],
        mass=round(mass, 6),
    )


def judgement_id(candidate_id: str, k: int) -> str:
    return f"{candidate_id}.j{k}"
