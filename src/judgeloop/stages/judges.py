"""The judge of a step: a model loaded here or one behind an endpoint. Its rows are appended to files of the run, and
those that are there already are not asked for again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from judgeloop.engines.base import Engine
from judgeloop.errors import InputError
from judgeloop.jsonl import RowLog, append_missing, each_row
from judgeloop.judging.adaptive import judge_in_rounds
from judgeloop.judging.endpoint_judge import BeginScore, EndpointJudge
from judgeloop.judging.pairwise import ToCompare, compare
from judgeloop.judging.pointwise import ToJudge, judgement_id, judgements_each
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import MAX_SCORE, Comparison, Judgement
from judgeloop.run.json_artifacts import read_json, write_json
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
                self.context.progress(done, max(done, total), "judging")

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
            lambda owed: self.judge("pairwise").going_on(each_row(path, Judgement)).scores(owed),
            lambda done, total: self.context.progress(done, total, "judging"),
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
    """The model that `openai:NAME` names, at endpoint.url. What it used is added up in the run's endpoint.json, by step
    (but for an attempt that was killed); what it was asked again and could not do is in the stage's log."""
    from judgeloop.engines.openai import OpenAiEngine
    from judgeloop.run.plan import OUTSIDE

    config = context.config
    engine = OpenAiEngine(config.endpoint, name.removeprefix(OUTSIDE))
    rubric = loop_rubric(context)

    record = _record(context)
    about = f"{name} at {engine.url}, rubric {rubric.name}"

    def settled(way: BeginScore) -> None:
        """Every stage of the run reads its scores in the way that the first one found."""
        write_json(record, {**(read_json(record) if record.exists() else {}), about: {"begin_score": way}})

    def judge(pairwise: str) -> EndpointJudge:
        compares = load_rubric(pairwise, config.judge.language)
        begin = config.endpoint.begin_score
        if begin == "auto" and record.exists():
            begin = read_json(record).get(about, {}).get("begin_score", begin)
        return EndpointJudge(
            name, engine, rubric, compares, config.judge, config.seed, begin_score=begin, settled=settled
        )

    try:
        yield _Behind(context, name, judge)
    finally:
        engine.close()
        _add_usage(context, about, engine.tokens, engine.cost)
        cost = "" if engine.cost is None else f", cost {engine.cost:.4f}"
        print(
            f"{name}: asked again {dict(engine.retries)}, tokens {dict(engine.tokens)}{cost}", *engine.notes, sep="\n"
        )


def _record(context: Context) -> Path:
    return context.run.path / "endpoint.json"


def _add_usage(context: Context, about: str, tokens: Mapping[str, int], cost: float | None) -> None:
    """Add what one attempt at a step used to what earlier ones did: it is paid for in either case."""
    if not tokens:
        return
    found = read_json(_record(context)) if _record(context).exists() else {}
    steps = found.setdefault(about, {}).setdefault("used", {})
    before = steps.get(context.step.name, {})
    used: dict[str, float] = {name: before.get(name, 0) + count for name, count in tokens.items()}
    if cost is not None or "cost" in before:
        used["cost"] = round(before.get("cost", 0.0) + (cost or 0.0), 6)
    steps[context.step.name] = {**before, **used}
    write_json(_record(context), found)


def endpoint_account(context: Context) -> dict[str, list[str]]:
    """For a step's account: lines about what it used of endpoints, all attempts together; none if it used none."""
    found = read_json(_record(context)) if _record(context).exists() else {}
    lines = []
    for about, entry in found.items():
        if (used := entry.get("used", {}).get(context.step.name)) is not None:
            cost = f", cost {used['cost']:.4f}" if "cost" in used else ""
            asked, answered = used.get("prompt_tokens", 0), used.get("completion_tokens", 0)
            lines.append(f"{about}: {asked} prompt tokens, {answered} answered{cost}")
    return {"yields": lines} if lines else {}


def loop_rubric(context: Context) -> Rubric:
    """The configured rubric. Raises InputError if its scale is not within the one that reports count on."""
    rubric = load_rubric(context.config.judge.rubric, context.config.judge.language)
    if rubric.high > MAX_SCORE:
        raise InputError(
            f"judge.rubric: '{rubric.name}' scores {rubric.low}-{rubric.high}, a run counts on 0-{MAX_SCORE}; "
            "rewrite its scale"
        )
    return rubric
