"""Read what a user brings: prompts, supervised rows, ranked responses, judgements. The format is detected by content,
from the first row, and every other row must have it too; what was detected, taken and dropped stands in the `Account`.

A row that breaks its format is an InputError with file and line. A row that is well formed but cannot serve (an
unranked tree, a chat that ends with the user, an empty response) is dropped and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

from judgeloop.data.layouts import FORMATS, Format, Rows, first_format, same_format
from judgeloop.data.provenance import Account, Intake, Place, Turns, Unusable
from judgeloop.data.sources import Source, open_source
from judgeloop.errors import InputError
from judgeloop.records import Message, Prompt, RankedSet, SupervisedRow, stable_id

T = TypeVar("T", Prompt, SupervisedRow, RankedSet)
_IDS = ("id", "message_tree_id", "question_id")


def read_prompts(source: str | Path, lang: str | None = None) -> tuple[list[Prompt], Account]:
    """Instructions to answer, from a source of any format but EFT rows; responses in it are left aside.

    A chat log gives the conversation up to its last user turn, a tree its first message. A source is a file, a folder
    or `hf:org/name[:config][@split]`; see `open_source`.
    """

    def take(form: Format, row: dict[str, Any], intake: Intake) -> Iterator[Prompt]:
        assert form.prompts is not None
        for messages in form.prompts(row, intake):
            yield Prompt.of(messages, intake.place.source)

    return _read(source, tuple(form for form in FORMATS if form.prompts), take, lang=lang)


def read_prompt_rows(source: str | Path) -> dict[str, tuple[Place, dict[str, Any]]]:
    """Prompt id → the row that it was read from, with all its fields, and where that stands. Of rows that give the
    same prompt, the first."""
    rows: dict[str, tuple[Place, dict[str, Any]]] = {}

    def take(form: Format, row: dict[str, Any], intake: Intake) -> Iterator[Prompt]:
        assert form.prompts is not None
        for messages in form.prompts(row, intake):
            prompt = Prompt.of(messages, intake.place.source)
            rows.setdefault(prompt.id, (intake.place, row))
            yield prompt

    _read(source, tuple(form for form in FORMATS if form.prompts), take)
    return rows


def read_supervised(
    source: str | Path, turns: Turns = "first", lang: str | None = None
) -> tuple[list[SupervisedRow], Account]:
    """IFT rows: chat messages whose last turn is the assistant's, prompt and response, instruction and output, the
    best of ranked responses, or the rank-0 replies of Open Assistant trees (the paper's IFT data)."""

    def take(form: Format, row: dict[str, Any], intake: Intake) -> Iterator[SupervisedRow]:
        assert form.answers is not None
        for prompt, text in form.answers(row, intake):
            yield supervised_row("ift", prompt, prompt, text, intake.place.source)

    return _read(source, tuple(form for form in FORMATS if form.answers), take, turns, lang)


def read_ranked(source: str | Path, turns: Turns = "first", lang: str | None = None) -> tuple[list[RankedSet], Account]:
    """Prompts with several responses as people ranked them: `{"prompt", "responses": [{"text", "rank"[, "score"]}]}`,
    preference pairs, or Open Assistant trees, whose `turns` are the first only, or all with the conversation before."""

    def take(form: Format, row: dict[str, Any], intake: Intake) -> Iterator[RankedSet]:
        assert form.rankings is not None
        for messages, responses, group in form.rankings(row, intake):
            yield RankedSet(stable_id("r", messages, responses), messages, responses, intake.place.source, group)

    return _read(source, tuple(form for form in FORMATS if form.rankings), take, turns, lang)


def read_judgements(source: str | Path, has_score: Callable[[str], bool]) -> tuple[list[SupervisedRow], Account]:
    """EFT rows that are made already (filled judge prompt → judgement), as `judgeloop seed` writes them. Judgements
    whose text has no score (`has_score`) are dropped and counted.

    `prompt_id` is the row's own, which names the instruction that was judged; without one it is the judge prompt's.
    """

    def take(form: Format, row: dict[str, Any], intake: Intake) -> Iterator[SupervisedRow]:
        assert form.judgements is not None
        for prompt, text in form.judgements(row, intake):
            if not has_score(text):
                raise Unusable("judgement without a readable score")
            made = supervised_row("eft", prompt, prompt, text, intake.place.source)
            about = row.get("prompt_id")
            if isinstance(about, str) and about:
                made = SupervisedRow(made.id, "eft", about, made.prompt, made.completion, made.source)
            yield made

    return _read(source, tuple(form for form in FORMATS if form.judgements), take)


def detect(source: str | Path) -> Format:
    """The format of a source, from its first row. Raises InputError where there is none or it is unknown."""
    opened = open_source(source)
    for place, row in opened.rows:
        return first_format(row, FORMATS, place)
    raise _empty(opened)


def supervised_row(
    kind: Literal["ift", "eft"], about: list[Message], prompt: list[Message], completion: str, source: str
) -> SupervisedRow:
    """A row to imitate. `about` is the instruction that `prompt` is (IFT) or judges a response to (EFT)."""
    return SupervisedRow(
        stable_id(kind, prompt, completion),
        kind,
        stable_id("p", about),
        prompt,
        [{"role": "assistant", "content": completion}],
        source,
    )


def _read(
    source: str | Path,
    allowed: tuple[Format, ...],
    take: Callable[[Format, dict[str, Any], Intake], Iterator[T]],
    turns: Turns = "first",
    lang: str | None = None,
) -> tuple[list[T], Account]:
    opened = open_source(source)
    first = next(opened.rows, None)
    if first is None:
        raise _empty(opened)
    form = first_format(first[1], allowed, first[0])
    dropped: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    rows = _same(form, first[0], chain([first], opened.rows), counted)
    if form.assemble is not None:
        rows = form.assemble(rows, dropped)
    found: dict[str, T] = {}
    ids: set[str | int] = set()
    for place, row in rows:
        before = len(found)
        try:
            for result in take(form, row, Intake(place, dropped, turns, lang)):
                if result.id in found:
                    dropped["duplicate"] += 1
                else:
                    found[result.id] = result
        except Unusable as unusable:
            dropped[unusable.reason] += 1
        name = next((row[key] for key in _IDS if isinstance(row.get(key), (str, int))), None)
        if name is not None and len(found) > before:
            counted["repeated ids"] += name in ids
            ids.add(name)
    reasons = {reason: count for reason, count in sorted(dropped.items()) if count}
    if not found:
        listed = "; ".join(f"{count} {reason}" for reason, count in reasons.items()) or "nothing in it"
        raise InputError.at(
            opened.path, None, f"{form.name}, but no usable row ({listed})", "bring other data or other keys"
        )
    account = Account(form.name, len(found), reasons, counted["rows"], opened.container, counted["repeated ids"])
    return list(found.values()), account


def _same(form: Format, first: Place, rows: Rows, counted: Counter[str]) -> Rows:
    """The rows as they pass, counted. Raises InputError where one is of another format than the first."""
    for place, row in rows:
        same_format(row, form, first, place)
        counted["rows"] += 1
        yield place, row


def _empty(opened: Source) -> InputError:
    return InputError.at(opened.path, None, "has no rows", "add rows or name another file")
