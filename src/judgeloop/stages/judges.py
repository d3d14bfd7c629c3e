"""The judge of a step: a model loaded here or one behind an endpoint. Its rows are appended to files of the run, and
those that are there already are not asked for again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from judgeloop.engines.base import Engine
from judgeloop.errors import InputError
from judgeloop.jsonl import RowLog, append_missing, each_row
from judgeloop.judging.adaptive import judge_in_rounds
from judgeloop.judging.judges import EndpointJudge
from judgeloop.judging.pairwise import ToCompare, compare
from judgeloop.judging.pointwise import ToJudge, judgement_id, judgements_each
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import MAX_SCORE, Comparison, Judgement
from judgeloop.run.stage import Remote
from judgeloop.stages.context import Context

Loaded = tuple[Engine, Chat]


class StepJudge(Protocol):
    """Scores responses and compares two of them."""

    @property
    def name(self) -> str: ...

    def score(self, path: Path, items: Sequence[ToJudge]) -> None:
        """Append the judgements of all items to `path`."""
        ...

    def compare(self, path: Path, items: Sequence[ToCompare], rubric: str = "pairwise") -> dict[str, Comparison]:
        """Append which of the two each item's judge prefers; return all of the file's by their ids."""
        ...


@contextmanager
def open_judge(
    context: Context, role: str = "judge", own: tuple[str, Callable[[], Loaded]] | None = None
) -> Iterator[StepJudge]:
    """The judge that plays `role`. It is loaded when something is owed. `own` is the name of a model that is loaded
    already, and how to get it: if it plays the role, it is used and left open."""
    played = context.role(role)
    if isinstance(played, Remote):
        with _remote(context, played.name) as remote:
            yield remote
        return
    model = context.model(role)
    if own is not None and own[0] == model.name:
        yield _Here(context, model.name, own[1])
        return
    opened: list[Loaded] = []

    def load() -> Loaded:
        if not opened:
            chat = model.chat()
            opened.append((model.open(chat), chat))
        return opened[0]

    try:
        yield _Here(context, model.name, load)
    finally:
        for engine, _ in opened:
            engine.close()


@dataclass(frozen=True, slots=True)
class _Here:
    """A model loaded here. Items with a group get more than K judgements if the config allows it and they decide
    something."""

    context: Context
    name: str
    load: Callable[[], Loaded]

    def score(self, path: Path, items: Sequence[ToJudge]) -> None:
        config = self.context.config
        rubric = loop_rubric(self.context)
        with RowLog(path) as log:
            have = {row.id: row.score for row in each_row(path, Judgement)}
            done, total = len(have), len(items) * judgements_each(config.judge)
            for row in judge_in_rounds(self.load, rubric, config.judge, items, have, config.seed):
                log.append([row])
                done += 1
                self.context.progress(done, max(done, total), "")

    def compare(self, path: Path, items: Sequence[ToCompare], rubric: str = "pairwise") -> dict[str, Comparison]:
        config = self.context.config

        def verdicts(owed: Sequence[ToCompare]) -> Iterator[Comparison]:
            engine, chat = self.load()
            template = load_rubric(rubric, config.judge.language)
            return compare(engine, chat, template, owed, config.judge.min_mass)

        return _compared(self.context, path, items, verdicts)


@dataclass(frozen=True, slots=True)
class _Behind:
    """A model behind an endpoint."""

    context: Context
    name: str
    judge: Callable[[str], EndpointJudge] = field(repr=False)

    def score(self, path: Path, items: Sequence[ToJudge]) -> None:
        each = judgements_each(self.context.config.judge)
        append_missing(
            path,
            Judgement,
            items,
            lambda item: [judgement_id(item.id, k) for k in range(each)],
            self.judge("pairwise").scores,
            lambda done, total: self.context.progress(done, total, ""),
        )

    def compare(self, path: Path, items: Sequence[ToCompare], rubric: str = "pairwise") -> dict[str, Comparison]:
        return _compared(self.context, path, items, self.judge(rubric).verdicts)


def _compared(
    context: Context,
    path: Path,
    items: Sequence[ToCompare],
    verdicts: Callable[[Sequence[ToCompare]], Iterator[Comparison]],
) -> dict[str, Comparison]:
    append_missing(
        path,
        Comparison,
        items,
        lambda item: (item.id,),
        verdicts,
        lambda done, total: context.progress(done, total, "comparing"),
    )
    return {row.id: row for row in each_row(path, Comparison)}


@contextmanager
def _remote(context: Context, name: str) -> Iterator[_Behind]:
    """The model that `openai:NAME` names, at endpoint.url. What it was asked again and could not do is printed, which
    is to say: is in the stage's log."""
    from judgeloop.engines.openai import OpenAiEngine
    from judgeloop.run.plan import OUTSIDE

    config = context.config
    engine = OpenAiEngine(config.endpoint, name.removeprefix(OUTSIDE))
    rubric = loop_rubric(context)

    begin = config.endpoint.begin_score

    def judge(pairwise: str) -> EndpointJudge:
        compares = load_rubric(pairwise, config.judge.language)
        return EndpointJudge(name, engine, rubric, compares, config.judge, config.seed, begin_score=begin)

    try:
        yield _Behind(context, name, judge)
    finally:
        engine.close()
        cost = "" if engine.cost is None else f", cost {engine.cost:.4f}"
        print(
            f"{name}: asked again {dict(engine.retries)}, tokens {dict(engine.tokens)}{cost}", *engine.notes, sep="\n"
        )


def loop_rubric(context: Context) -> Rubric:
    """The configured rubric. Raises InputError if its scale is not within the one that reports count on."""
    rubric = load_rubric(context.config.judge.rubric, context.config.judge.language)
    if rubric.high > MAX_SCORE:
        raise InputError(
            f"judge.rubric: '{rubric.name}' scores {rubric.low}-{rubric.high}, a run counts on 0-{MAX_SCORE}; "
            "rewrite its scale"
        )
    return rubric
