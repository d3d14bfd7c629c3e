"""Any judge behind one interface: a model loaded here, or one behind an endpoint that takes chat messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from judgeloop.config import JudgeSection
from judgeloop.engines.base import Engine
from judgeloop.judging.pairwise import (
    ToCompare,
    compare,
    compare_in_writing,
)
from judgeloop.judging.pointwise import ToJudge, judge
from judgeloop.judging.rubric import Rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Comparison, Judgement


class Judge(Protocol):
    """Scores single responses and compares two. Results come in the order they finish."""

    @property
    def name(self) -> str: ...

    def scores(self, items: Sequence[ToJudge]) -> Iterator[Judgement]:
        """Yield the judgements of every item: K with sampled scoring, one with expected scoring."""
        ...

    def verdicts(self, items: Sequence[ToCompare]) -> Iterator[Comparison]:
        """Yield one comparison of every item."""
        ...


@dataclass(frozen=True, slots=True)
class LocalJudge:
    """A model loaded here. Compares by the probabilities of A and B, or with `written` by what it writes."""

    name: str
    engine: Engine
    chat: Chat
    rubric: Rubric
    pairwise: Rubric
    config: JudgeSection
    seed: int
    written: bool = False

    def scores(self, items: Sequence[ToJudge]) -> Iterator[Judgement]:
        return judge(self.engine, self.chat, self.rubric, self.config, items, self.seed)

    def verdicts(self, items: Sequence[ToCompare]) -> Iterator[Comparison]:
        if self.written:
            return compare_in_writing(self.engine, self.chat, self.pairwise, self.config, items, self.seed)
        return compare(self.engine, self.chat, self.pairwise, items, self.config.min_mass)
