"""Who judges an evaluation: the model itself, another one of the run, a frozen one, or one behind an endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from judgeloop.engines.base import Engine
from judgeloop.jsonl import RowLog, read_objects, read_rows
from judgeloop.judging.judges import EndpointJudge
from judgeloop.judging.pairwise import ToCompare, compare
from judgeloop.judging.pointwise import ToJudge, judgement_id, judgements_each
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Judgement
from judgeloop.stages.context import Context
from judgeloop.stages.judging import judge_all

OUTSIDE = "openai:"


class EvaluationJudge(Protocol):
    """Appends judgements and comparisons to files of the run, skipping those that stand there already."""

    @property
    def name(self) -> str: ...

    def score(self, path: Path, items: Sequence[ToJudge]) -> None: ...

    def compare(self, path: Path, items: Sequence[ToCompare]) -> dict[str, Any]:
        """Which of the two each comparison prefers ("first", "second", "neither" or None), by its id."""
        ...


@contextmanager
def opened_judge(context: Context, engine: Engine, chat: Chat) -> Iterator[EvaluationJudge]:
    """The judge that `evaluation.judge` names. `engine` is that of the evaluated model: it judges too where it is its
    own judge, and is closed at once where not."""
    role, current = context.config.evaluation.judge, context.step.model
    name = current if role == "current" else role
    if name == current:
        yield _OwnJudge(context, name, engine, chat)
        return
    engine.close()
    if name.startswith(OUTSIDE):
        with _outside(context, name) as judge:
            yield judge
        return
    chat = context.chat(name)
    other = context.engine(name, chat)
    try:
        yield _OwnJudge(context, name, other, chat)
    finally:
        other.close()


@dataclass(frozen=True, slots=True)
class _OwnJudge:
    """A model loaded here."""

    context: Context
    name: str
    engine: Engine
    chat: Chat

    def score(self, path: Path, items: Sequence[ToJudge]) -> None:
        judge_all(self.context, path, items, self.name, (self.engine, self.chat))

    def compare(self, path: Path, items: Sequence[ToCompare]) -> dict[str, Any]:
        rubric = load_rubric("pairwise", self.context.config.judge.language)

        def verdicts(owed: Sequence[ToCompare]) -> Iterator[dict[str, Any]]:
            for found in compare(self.engine, self.chat, rubric, owed, self.context.config.judge.min_mass):
                yield asdict(found)

        return _kept(self.context, path, items, verdicts)


@dataclass(frozen=True, slots=True)
class _OutsideJudge:
    """A model behind an endpoint."""

    context: Context
    name: str
    judge: EndpointJudge

    def score(self, path: Path, items: Sequence[ToJudge]) -> None:
        each = judgements_each(self.context.config.judge)
        with RowLog(path) as log:
            have = {row.id for row in read_rows(path, Judgement)}
            owed = [item for item in items if any(judgement_id(item.id, k) not in have for k in range(each))]
            for row in self.judge.scores(owed):
                if row.id not in have:
                    log.append([row])
                    have.add(row.id)
                    self.context.progress(len(have), each * len(items), "")

    def compare(self, path: Path, items: Sequence[ToCompare]) -> dict[str, Any]:
        def verdicts(owed: Sequence[ToCompare]) -> Iterator[dict[str, Any]]:
            for found in self.judge.verdicts(owed):
                yield asdict(found)

        return _kept(self.context, path, items, verdicts)


def _kept(context: Context, path: Path, items: Sequence[ToCompare], verdicts: Any) -> dict[str, Any]:
    """Append the rows that are missing; return every row's preference."""
    with RowLog(path) as log:
        have = {str(row["id"]): row["better"] for _, row in read_objects(path)}
        for row in verdicts([item for item in items if item.id not in have]):
            log.append([row])
            have[row["id"]] = row["better"]
            context.progress(len(have), len(items), "comparing")
    return have


@contextmanager
def _outside(context: Context, name: str) -> Iterator[_OutsideJudge]:
    """The model that `openai:NAME` names, at endpoint.url. What it was asked again and could not do is printed, which
    is to say: stands in the stage's log."""
    from judgeloop.engines.openai import OpenAiEngine

    config = context.config
    engine = OpenAiEngine(config.endpoint, name.removeprefix(OUTSIDE))
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    pairwise = load_rubric("pairwise", config.judge.language)
    try:
        yield _OutsideJudge(context, name, EndpointJudge(name, engine, rubric, pairwise, config.judge, config.seed))
    finally:
        engine.close()
        print(f"{name}: asked again {dict(engine.retries)}, tokens {dict(engine.tokens)}", *engine.notes, sep="\n")
