"""Read what a user brings: prompts, supervised rows, ranked responses, judgements. The format is detected by content,
from the first row, and every other row must have it too; what was detected, taken and dropped is in the `Account`.

A row that breaks its format is an InputError with file and line. A row that is well formed but cannot serve (an
unranked tree, a chat that ends with the user, an empty response) is dropped and counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

from judgeloop.data.columns import Columns, columns_of, given_columns
from judgeloop.data.conversations import Answer
from judgeloop.data.fields import number_of
from judgeloop.data.intake import Intake, Whole
from judgeloop.data.layouts import EFT_ROWS, FORMATS, Format, Rows, check_ratings, first_format, same_format
from judgeloop.data.messages import MEDIA
from judgeloop.data.provenance import Account, Place, Turns, Unusable
from judgeloop.data.rating_columns import RATINGS, rates
from judgeloop.data.ratings import NO_SET, RatedAnswers, rating_of
from judgeloop.data.scales import lowest_good
from judgeloop.data.sources import Source, open_source
from judgeloop.data.survey import survey_of
from judgeloop.data.thoughts import with_thought
from judgeloop.errors import InputError
from judgeloop.records import Message, Prompt, RankedSet, SupervisedRow, stable_id

T = TypeVar("T", Prompt, SupervisedRow, RankedSet)
Thoughts = Literal["leave_out", "train"]
Fields = Mapping[str, str | None]
_SHOWN = ("image", "images", "img", "video", "videos", "audio", "audios")  # columns of what a text is about
_IDS = ("id", "message_tree_id", "question_id")
_ALONE = ("conversations that part before their last answer", "fewer than two responses")  # no set, but an IFT row
_BEST = "of each set the best answer"
_OURS = ("id", "kind", "prompt_id", "source", "group", "chosen_id", "rejected_id", "chosen_score", "rejected_score")


def read_prompts(
    source: str | Path, lang: str | None = None, fields: Fields | None = None
) -> tuple[list[Prompt], Account]:
    """Instructions to answer, from a source of any format but EFT rows; responses in it are left aside.

    A chat log gives the conversation up to its last user turn, a tree its first message. A source is a file, a folder
    or `hf:org/name[:config][@split]`; see `open_source`. `fields` says which column is which (role → column).
    """

    def take(form: Format, row: dict[str, Any], intake: Intake) -> Iterator[Prompt]:
        assert form.prompts is not None
        for messages in form.prompts(row, intake):
            yield Prompt.of(messages, intake.place.source)

    allowed = tuple(form for form in FORMATS if form.prompts)
    return _read(source, allowed, take, lang=lang, fields=fields, learnt=False)


def read_prompt_rows(source: str | Path) -> dict[str, tuple[Place, dict[str, Any]]]:
    """Prompt id → the row that it was read from, with all its fields, and where that is. Of rows that give the same
    prompt, the first."""
    rows: dict[str, tuple[Place, dict[str, Any]]] = {}

    def take(form: Format, row: dict[str, Any], intake: Intake) -> Iterator[Prompt]:
        assert form.prompts is not None
        for messages in form.prompts(row, intake):
            prompt = Prompt.of(messages, intake.place.source)
            rows.setdefault(prompt.id, (intake.place, row))
            yield prompt

    _read(source, tuple(form for form in FORMATS if form.prompts), take, learnt=False)
    return rows


def read_supervised(
    source: str | Path,
    turns: Turns = "first",
    lang: str | None = None,
    fields: Fields | None = None,
    thoughts: Thoughts = "leave_out",
    *,
    but: Collection[str] = (),
    empty: bool = False,
) -> tuple[list[SupervisedRow], Account]:
    """IFT rows: chat messages whose last turn is the assistant's, prompt and response, instruction and output, the
    best of ranked or rated responses, or the rank-0 replies of Open Assistant trees (the paper's IFT data).

    An answer that its row calls bad (a label, a rating in the lower half of the scale, a turn of weight 0) is left out
    and counted. `thoughts` says whether the thought before an answer is part of what is imitated. Prompts whose ids are
    in `but` are passed over; `empty` allows that nothing is left.
    """
    rated = RatedAnswers()
    low: list[tuple[float, str]] = []
    ratings: list[float] = []

    def made(answer: Answer, place: Place) -> SupervisedRow:
        text = with_thought(answer.text, answer.thought) if answer.thought and thoughts == "train" else answer.text
        return supervised_row("ift", answer.prompt, answer.prompt, text, place.source)

    def take(form: Format, row: dict[str, Any], intake: Intake) -> Iterator[SupervisedRow]:
        assert form.answers is not None
        for answer in form.answers(row, intake):
            if form.rated:
                rated.add(answer, rating_of(row, intake), intake.place)
                continue
            found = made(answer, intake.place)
            if found.prompt_id in but:
                continue
            if answer.rating is not None:
                low.append((answer.rating, found.id))
            yield found
        ratings.extend(intake.ratings)

    def finish(found: dict[str, SupervisedRow], dropped: Counter[str]) -> Iterator[SupervisedRow]:
        least = lowest_good(ratings, unbounded=False)
        for rating, name in low:
            if rating < least and found.pop(name, None) is not None:
                dropped["best answer that is rated low"] += 1
        for answer, place in rated.imitable(dropped, but):
            yield made(answer, place)

    allowed = tuple(form for form in FORMATS if form.answers)
    return _read(
        source, allowed, take, turns, lang, fields, finish, best=True, trained=thoughts == "train", empty=empty
    )


def read_ranked(
    source: str | Path,
    turns: Turns = "first",
    lang: str | None = None,
    fields: Fields | None = None,
    *,
    empty: bool = False,
) -> tuple[list[RankedSet], Account]:
    """Prompts with several responses as people ranked them: lists with ranks or scores, preference pairs, answers that
    were compared or rated, or Open Assistant trees, whose `turns` are the first only, or all with the conversation
    before."""
    rated = RatedAnswers()
    best: dict[str, float | None] = {}  # set id → rating of its best answer; None: not to be imitated
    ratings: list[float] = []

    def take(form: Format, row: dict[str, Any], intake: Intake) -> Iterator[RankedSet]:
        if form.rated:
            assert form.answers is not None
            for answer in form.answers(row, intake):
                rated.add(answer, rating_of(row, intake), intake.place)
            return
        assert form.rankings is not None
        for messages, responses, group in form.rankings(row, intake):
            plain: list[dict[str, Any]] = [
                {key: r[key] for key in ("text", "rank", "score") if key in r} for r in responses
            ]
            found = RankedSet(stable_id("r", messages, plain), messages, plain, intake.place.source, group)
            ratings.extend(r["rating"] for r in responses if r.get("rating") is not None)
            if responses[0].get("safe") is False or responses[0].get("imitable") is False:
                best[found.id] = None
            elif responses[0].get("rating") is not None:
                best[found.id] = responses[0]["rating"]
            yield found

    def finish(found: dict[str, RankedSet], dropped: Counter[str]) -> Iterator[RankedSet]:
        least = lowest_good(ratings, unbounded=False)
        for name, rating in best.items():
            if rating is None or rating < least:
                found[name] = not_to_imitate(found[name])
        for messages, responses, place, good in rated.sets(dropped):
            made = RankedSet(stable_id("r", messages, responses), messages, responses, place.source)
            yield made if good else not_to_imitate(made)

    allowed = tuple(form for form in FORMATS if form.rankings or form.rated)
    return _read(source, allowed, take, turns, lang, fields, finish, empty=empty)


def not_to_imitate(ranked: RankedSet) -> RankedSet:
    """The set with a mark on its best answer: better than the others, and still not good."""
    first, *rest = ranked.responses
    return replace(ranked, responses=[{**first, "imitable": False}, *rest])


def read_both(
    source: str | Path,
    turns: Turns = "first",
    lang: str | None = None,
    fields: Fields | None = None,
    thoughts: Thoughts = "leave_out",
) -> tuple[list[RankedSet], list[SupervisedRow], Account]:
    """Ranked sets, and IFT rows of the prompts that give none: each row of the source serves once. The account is of
    both."""
    sets, ranked = read_ranked(source, turns, lang, fields, empty=True)
    but = {stable_id("p", found.messages) for found in sets}
    rows, rest = read_supervised(source, turns, lang, fields, thoughts, but=but, empty=bool(sets))
    dropped = Counter({reason: count for reason, count in ranked.dropped.items() if reason not in (*NO_SET, *_ALONE)})
    dropped += Counter(rest.dropped) - dropped
    notes = (*(note for note in rest.notes if note != _BEST), f"ranked sets: {len(sets)}, more IFT rows: {len(rows)}")
    both = replace(rest, taken=len(sets) + len(rows), dropped=dict(sorted(dropped.items())), notes=notes)
    return sets, rows, both


def read_judgements(
    source: str | Path, has_score: Callable[[str], bool], check: Callable[[str], object] | None = None
) -> tuple[list[SupervisedRow], Account]:
    """EFT rows that are made already (filled judge prompt → judgement), as `judgeloop seed` writes them. Judgements
    whose text has no score (`has_score`) are dropped and counted. What `check` raises as InputError of one with a score
    is raised with file and row.

    `prompt_id` is the row's own, which names the instruction that was judged; without one it is the judge prompt's.
    """

    def take(form: Format, row: dict[str, Any], intake: Intake) -> Iterator[SupervisedRow]:
        assert form.judgements is not None
        for prompt, text, _, _ in form.judgements(row, intake):
            if not has_score(text):
                raise Unusable("judgement without a readable score")
            if check is not None:
                try:
                    check(text)
                except InputError as error:
                    problem, _, remedy = str(error).rpartition("; ")
                    raise intake.place.error(problem, remedy) from error
            made = supervised_row("eft", prompt, prompt, text, intake.place.source)
            about = row.get("prompt_id")
            if isinstance(about, str) and about:
                made = SupervisedRow(made.id, "eft", about, made.prompt, made.completion, made.source)
            yield made

    return _read(source, (EFT_ROWS,), take)


def checked_rows(
    source: str | Path, allowed: tuple[Format, ...], fields: Fields | None = None
) -> tuple[Format, Iterator[tuple[Place, Columns, dict[str, Any]]]]:
    """The format of a source and its rows, each with its place and its columns, checked as they pass to be of it."""
    layout = _layout(open_source(source), allowed, fields, learnt=False)
    return layout.form, layout.rows


def detect(source: str | Path, fields: Fields | None = None) -> Format:
    """The format of a source, from its first row. Raises InputError if there is none or it is unknown."""
    opened = open_source(source)
    for place, row in opened.rows:
        return first_format(row, columns_of(row, given_columns(row, fields, place)), FORMATS, place)
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
    fields: Fields | None = None,
    finish: Callable[[dict[str, T], Counter[str]], Iterable[T]] | None = None,
    *,
    best: bool = False,
    trained: bool = False,
    empty: bool = False,
    learnt: bool = True,
) -> tuple[list[T], Account]:
    opened = open_source(source)
    layout = _layout(opened, allowed, fields, learnt=learnt)
    form, dropped, counted = layout.form, layout.dropped, layout.counted
    found: dict[str, T] = {}
    ids: set[str | int] = set()
    for place, columns, row in layout.rows:
        before = len(found)
        intake = Intake(place, dropped, turns, lang, columns, counted, whole=layout.whole)
        try:
            if any(_is_there(row[key]) for key in row if key.casefold() in _SHOWN):
                raise Unusable(MEDIA)
            if number_of(intake.value(row, "weight")) == 0:
                raise Unusable("row of weight 0")
            for result in take(form, row, intake):
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
    for result in finish(found, dropped) if finish is not None else ():
        if result.id in found:
            dropped["duplicate"] += 1
        found[result.id] = result
    reasons = {reason: count for reason, count in sorted(dropped.items()) if count}
    if not found and not empty:
        listed = "; ".join(f"{count} {reason}" for reason, count in reasons.items()) or "nothing in it"
        raise InputError.at(
            opened.path, None, f"{form.name}, but no usable row ({listed})", "bring other data or other keys"
        )
    account = Account(
        form.name, len(found), reasons, counted["rows"], opened.container, counted["repeated ids"],
        unread=dict(layout.unread), thoughts=counted["thoughts"], trained_thoughts=trained,
        notes=layout.notes(best), columns=layout.columns.of(form.roles),
    )  # fmt: skip
    return list(found.values()), account


@dataclass(slots=True)
class _Layout:
    """An opened source whose format is known: its rows as they pass, and what is counted of them."""

    form: Format
    columns: Columns
    rows: Iterator[tuple[Place, Columns, dict[str, Any]]]
    whole: Whole
    dropped: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)

    def notes(self, best: bool) -> tuple[str, ...]:
        """What a reader of the account must know besides the counts."""
        by = [self.columns.roles[role] for role in RATINGS if role in self.columns]
        by += [key for _, key in self.columns.ratings.more]
        notes = [f"rated by {', '.join(by)}"] if self.form.rated and by else []
        if best and self.form.rankings and not self.form.assemble:
            notes.append(_BEST)
        return tuple(notes)


def _layout(
    opened: Source, allowed: tuple[Format, ...], fields: Fields | None = None, *, learnt: bool = True
) -> _Layout:
    """Detect the format and check every row that passes against it; whether what rates the answers is clear matters
    only if they are `learnt`."""
    first = next(opened.rows, None)
    if first is None:
        raise _empty(opened)
    place, row = first
    given = given_columns(row, fields, place)
    columns = columns_of(row, given)
    form = first_format(row, columns, allowed, place, learnt=learnt)
    layout = _Layout(form, columns, iter(()), survey_of(opened.path, form, columns, row))
    rows = _same(layout, place, chain([first], opened.rows), given, learnt)
    if layout.form.assemble is None:
        layout.rows = rows
        return layout
    plain = ((where, found) for where, _, found in rows)
    layout.rows = ((where, columns, found) for where, found in layout.form.assemble(plain, layout.dropped))
    return layout


def _same(
    layout: _Layout, first: Place, rows: Rows, given: Fields | None, learnt: bool
) -> Iterator[tuple[Place, Columns, dict[str, Any]]]:
    """The rows as they pass, each with its columns, counted. Raises InputError if one is of another format than the
    first. Rows with the same fields have the same columns."""
    known: dict[tuple[Any, ...], tuple[Columns, tuple[str, ...]]] = {}
    for place, row in rows:
        signature = (*row, row.get("kind") if isinstance(row.get("kind"), str) else None)
        if signature not in known:
            columns = layout.columns if not known else columns_of(row, given)
            same_format(row, columns, layout.form, first, place)
            if learnt:
                check_ratings(row, columns, layout.form, place)
            read = {
                *columns.of((*layout.form.roles, "weight")).values(),
                *layout.form.reads,
                *_IDS,
                *(key for key in row if key.casefold() in _SHOWN),
                *(_OURS if _is_ours(row) else ()),
            }
            known[signature] = columns, tuple(key for key in row if key not in read)
        columns, unread = known[signature]
        mixed = next((key for key in columns.ratings.aside if learnt and rates(row[key])), None)
        if mixed is not None:
            raise place.error(
                f"'{mixed}' is {row[mixed]!r:.60}, which may rate the answer, and not so {first.seen_from(place)}",
                "mend the rows, or leave the column unread: seed_data.fields: {label: null, bad_label: null}",
            )
        layout.counted["rows"] += 1
        layout.unread.update(key for key in unread if row[key] is not None and row[key] != "")
        yield place, columns, row


def _is_there(value: object) -> bool:
    """Whether a cell holds something; an empty image of a table is an object of nulls."""
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


def _is_ours(row: Mapping[str, Any]) -> bool:
    """Whether one of our own stages wrote the row: its id tells."""
    name = row.get("id")
    return isinstance(name, str) and re.fullmatch(r"(ift|eft|r|p|pair|t|c)-[0-9a-f]{12}", name) is not None


def _empty(opened: Source) -> InputError:
    return InputError.at(opened.path, None, "has no rows", "add rows or name another file")
