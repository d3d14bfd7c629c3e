"""A judge behind an endpoint that takes chat messages: scores and verdicts from what it writes, and from
log-probabilities if it gives any."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from judgeloop.config import JudgeSection
from judgeloop.engines.base import Sampling
from judgeloop.engines.messages import NOT_ANSWERED, MessageEngine, MessageRequest, Refused, Reply, Token
from judgeloop.errors import InputError
from judgeloop.judging.pairwise import (
    SIDES,
    ToCompare,
    read_comparison,
    verdict_sampling,
    weighed,
)
from judgeloop.judging.pointwise import ToJudge, judgement_id, judgements_each, number_place, read_score
from judgeloop.judging.rubric import Rubric
from judgeloop.judging.score_distribution import expectation, normalise
from judgeloop.records import Comparison, Judgement, Message, derive_seed

BeginScore = Literal["auto", "always", "never"]
NO_LOGPROBS = "no log-probabilities"
NOTHING_SAID = "a thought and no answer"
CUT_IN_THOUGHT = "cut off in its thought; raise judge.sampling.max_new_tokens"
_TOP = 20
_MOST_REFUSED = 100  # rows that are refused before any is answered: then all are
_PROBES = 3  # answers that show whether an endpoint goes on with a begun score line
_SPOKEN = str.maketrans("０１２３４５６７８９ＡＢ", "0123456789AB")


@dataclass(frozen=True, slots=True)
class EndpointJudge:
    """A model behind an endpoint. Asked for log-probabilities if scoring is "expected" and for comparisons; if the
    endpoint gives none, score and preference are read from the text.

    `begin_score`: expected scores without justification are read from the token after a begun score line ("always"),
    so a judge that was taught the score alone need not write the line; "auto": if the endpoint can go on with it, which
    the first items show. What they show is told to `settled`, for scores that are read in two ways cannot be compared.
    """

    name: str
    engine: MessageEngine
    rubric: Rubric
    pairwise: Rubric
    config: JudgeSection
    seed: int
    written: bool = False
    begin_score: BeginScore = "never"
    settled: Callable[[BeginScore], None] = lambda _: None
    answered: bool = False  # whether any row was answered before

    def going_on(self, rows: Iterable[Judgement]) -> EndpointJudge:
        """The same judge, which reads scores as those that are there already were read."""
        have = list(rows)
        way = way_of(have) if self.begin_score == "auto" else None
        return replace(self, begin_score=way or self.begin_score, answered=any(not _refused(row) for row in have))

    def scores(self, items: Sequence[ToJudge]) -> Iterator[Judgement]:
        """Raises InputError if the endpoint refuses every row: rows that it refuses beside others have no score."""
        answered, refused = self.answered, list[Judgement]()
        for row in self._scores(items):
            if not answered and _refused(row):
                refused.append(row)
                if len(refused) == _MOST_REFUSED:
                    break
                continue
            yield from refused
            answered, refused = True, []
            yield row
        if refused:
            raise InputError(
                f"{self.name}: answers none of {len(refused)} rows, the first is {refused[0].reason} "
                f"({refused[0].text}); choose another judge or other rows"
            )

    def _scores(self, items: Sequence[ToJudge]) -> Iterator[Judgement]:
        if self.begin_score == "always" and self._may_begin():
            yield from self._after_score_line(items)
            return
        if self.begin_score == "auto" and self._may_begin():
            first: list[Judgement] = []
            try:  # rows that are refused show nothing
                while len(first) < len(items) and all(_refused(row) for row in first):
                    first += self._after_score_line(items[len(first) : len(first) + _PROBES])
            except Refused:
                first = []
            if first and all(_refused(row) for row in first):
                yield from first
                return
            if any(row.score is not None for row in first):
                self.settled("always")
                yield from first
                yield from self._after_score_line(items[len(first) :])
                return
            self.settled("never")
            self.engine.note("the endpoint does not go on with a begun score line: the judge writes the line itself")
        yield from self._written(items)

    def _may_begin(self) -> bool:
        """Whether a score may be read as one token after the score line: on longer scales "1" may begin "10"."""
        config = self.config
        one_token = all(len(str(value)) == 1 for value in self.rubric.scores)
        return self.begin_score != "never" and config.scoring == "expected" and not config.justification and one_token

    def _after_score_line(self, items: Sequence[ToJudge]) -> Iterator[Judgement]:
        begun: Message = {"role": "assistant", "content": self.rubric.score_line}
        requests = [
            MessageRequest(
                id=item.id,
                messages=[*self.rubric.messages(item.prompt, item.response), begun],
                sampling=Sampling(1),
                seed=derive_seed(self.seed, "judge", item.id, 0),
                top_logprobs=_TOP,
            )
            for item in items
        ]
        for reply in self.engine.generate(requests):
            name = judgement_id(reply.request_id, reply.index)
            if reply.unread is not None:
                yield Judgement(name, reply.request_id, reply.index, reply.text, None, reply.unread)
            elif reply.tokens:
                yield _expected(name, reply, reply.tokens[0], self.rubric, self.config.min_mass, "")
            else:
                yield Judgement(name, reply.request_id, reply.index, reply.text, None, NO_LOGPROBS)

    def _written(self, items: Sequence[ToJudge]) -> Iterator[Judgement]:
        expected = self.config.scoring == "expected"
        greedy = Sampling(self.config.sampling.max_new_tokens)
        sampled = Sampling(
            self.config.sampling.max_new_tokens,
            self.config.sampling.temperature,
            self.config.sampling.top_p,
            self.config.sampling.top_k,
        )
        requests = [
            MessageRequest(
                id=item.id,
                messages=self.rubric.messages(item.prompt, item.response),
                sampling=greedy if expected and not self.config.justification else sampled,
                index=k,
                seed=derive_seed(self.seed, "judge", item.id, k),
                top_logprobs=_TOP if expected else 0,
            )
            for item in items
            for k in range(judgements_each(self.config))
        ]
        responses = {item.id: item.response for item in items}
        for reply in self.engine.generate(requests):
            yield read_judgement(reply, responses[reply.request_id], self.rubric, self.config.min_mass)

    def verdicts(self, items: Sequence[ToCompare]) -> Iterator[Comparison]:
        requests = [
            MessageRequest(
                id=item.id,
                messages=self.pairwise.messages(item.prompt, item.first, item.second),
                sampling=verdict_sampling(self.config),
                seed=derive_seed(self.seed, "compare", item.id),
                top_logprobs=0 if self.written else _TOP,
            )
            for item in items
        ]
        by_id = {item.id: item for item in items}
        for reply in self.engine.generate(requests):
            said = read_comparison(by_id[reply.request_id], reply.text, reply.finish_reason)
            reason = _why_unread(reply)
            if reason is not None:
                yield replace(said, better=None, reason=reason)
                continue
            side = {"first": "A", "second": "B"}.get(said.better or "")
            token = _token_at(reply, _verdict_place(_text_of(reply), self.pairwise), side) if side else None
            if token is None:
                yield said
            else:
                yield weighed(said.id, _option_logprobs(token, SIDES), self.config.min_mass, reply.text)


def way_of(rows: Iterable[Judgement]) -> BeginScore | None:
    """How the expected scores of rows were read: after a begun score line ("always"; such rows have no text) or from
    what the judge wrote ("never"); None if no row tells."""
    for row in rows:
        if not row.text and row.distribution is not None:
            return "always"
        if row.text and row.reason != NO_LOGPROBS and not _refused(row):
            return "never"
    return None


def read_judgement(reply: Reply, response: str, rubric: Rubric, min_mass: float) -> Judgement:
    """The judgement in a reply: the score of its text, made an expected score if the endpoint gave
    probabilities."""
    name = judgement_id(reply.request_id, reply.index)
    reason = _why_unread(reply)
    if reason is not None:
        return Judgement(name, reply.request_id, reply.index, reply.text, None, reason)
    score = read_score(rubric, reply.text, response, reply.finish_reason)
    answers = [str(value) for value in rubric.scores]
    one_token = all(len(answer) == 1 for answer in answers)  # on longer scales "1" may be the start of "10"
    token = None
    if score.value is not None and one_token and reply.tokens:
        place = number_place(rubric, _text_of(reply), response, score.value)
        token = _token_at(reply, place, f"{score.value:g}") if place is not None else None
    if token is None:
        return Judgement(name, reply.request_id, reply.index, reply.text, score.value, score.reason)
    return _expected(name, reply, token, rubric, min_mass, reply.text)


def _expected(name: str, reply: Reply, token: Token, rubric: Rubric, min_mass: float, text: str) -> Judgement:
    """The mean over the scores that might have been at the token's place."""
    distribution, mass = normalise(_option_logprobs(token, [str(value) for value in rubric.scores]))
    low = mass < min_mass
    return Judgement(
        id=name,
        candidate_id=reply.request_id,
        k=reply.index,
        text=text,
        score=None if low else round(expectation(rubric.scores, distribution), 6),
        reason=f"scores have {mass:.0%} of the probability" if low else None,
        distribution=[round(share, 6) for share in distribution],
        mass=round(mass, 6),
    )


def _refused(row: Judgement) -> bool:
    """Whether the endpoint does not take what the row asks."""
    return row.reason is not None and row.reason.startswith(NOT_ANSWERED)


def _why_unread(reply: Reply) -> str | None:
    """Why a reply has no answer that could be read, None if it may have one."""
    if reply.unread is None and reply.thought is not None and not reply.text.strip():
        return CUT_IN_THOUGHT if reply.finish_reason == "length" else NOTHING_SAID
    return reply.unread


def _text_of(reply: Reply) -> str:
    return "".join(token.text for token in reply.tokens or ())


def _token_at(reply: Reply, place: int, answer: str) -> Token | None:
    """The token of the reply at this place of its text, with what might have been there instead. None without
    log-probabilities, or if that token is not exactly the `answer` that was read from the text: the tokenizer joins it
    with something."""
    end = 0
    for token in reply.tokens or ():
        end += len(token.text)
        if end > place:
            return token if _spoken(token.text) == answer else None
    return None


def _verdict_place(text: str, rubric: Rubric) -> int:
    """Where the letter of the last verdict line begins; the end of the text if there is no line."""
    label = rf"{re.escape(rubric.label)}[\s*_`\"'“”]*[:：][\s*_`\"'“”(\[<]*(?=\S)"
    lines = list(re.finditer(label, text, re.IGNORECASE))
    return lines[-1].end() if lines else len(text)


def _option_logprobs(token: Token, answers: Sequence[str]) -> list[float]:
    """Log-probability of each answer at the token's place, whatever space is around it; −∞ if it is not among the
    likeliest."""
    totals: dict[str, float] = {}
    for text, logprob in token.top.items():
        totals[_spoken(text)] = totals.get(_spoken(text), 0.0) + math.exp(logprob)
    return [math.log(totals[answer]) if totals.get(answer) else -math.inf for answer in answers]


def _spoken(text: str) -> str:
    return text.strip().translate(_SPOKEN)
