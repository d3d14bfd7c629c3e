"""Read what a user brings: prompts, supervised rows, ranked responses, judgements. The format is detected by content,
from the first row, and every other row must have it too; what was detected, taken and dropped is in the `Account`.

A row that breaks its format is an InputError with file and line. A row that is well formed but cannot serve (an
unranked tree, a chat that ends with the user, an empty response) is dropped and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from judgeloop.data.conversations import Answer
from judgeloop.data.detection import BEST, IDS, Fields, is_there, layout_of, shows_media
from judgeloop.data.intake import Intake
from judgeloop.data.layouts import EFT_ROWS, FORMATS, Format
from judgeloop.data.messages import MEDIA
from judgeloop.data.provenance import Account, Place, Turns, Unusable
from judgeloop.data.ratings import NO_SET, RATED_LOW, RatedAnswers, rating_of
from judgeloop.data.row_marks import set_aside
from judgeloop.data.scales import lowest_good
from judgeloop.data.sources import open_source
from judgeloop.data.thoughts import with_thought
from judgeloop.errors import InputError
from judgeloop.records import Message, Prompt, RankedSet, SupervisedRow, stable_id

T = TypeVar("T", Prompt, SupervisedRow, RankedSet)
Thoughts = Literal["leave_out", "train"]
_ALONE = ("conversations that part before their last answer", "fewer than two responses")  # no set, but an IFT row


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
    low: list[tuple[float, str, str]] = []
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
                reason = "best answer that is rated low" if form.rankings else RATED_LOW
                low.append((answer.rating, found.id, reason))
            yield found
        ratings.extend(intake.ratings)

    def finish(found: dict[str, SupervisedRow], dropped: Counter[str]) -> Iterator[SupervisedRow]:
        least = lowest_good(ratings, unbounded=False)
        for rating, name, reason in low:
            if rating < least and found.pop(name, None) is not None:
                dropped[reason] += 1
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
    notes = (*(note for note in rest.notes if note != BEST), f"ranked sets: {len(sets)}, more IFT rows: {len(rows)}")
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
    layout = layout_of(opened, allowed, fields, learnt=learnt)
    form, dropped, counted = layout.form, layout.dropped, layout.counted
    found: dict[str, T] = {}
    ids: set[str | int] = set()
    for place, columns, row in layout.rows:
        before = len(found)
        intake = Intake(place, dropped, turns, lang, columns, counted, whole=layout.whole)
        try:
            if any(is_there(row[key]) for key in row if shows_media(key)):
                raise Unusable(MEDIA)
            if (reason := set_aside(row, columns.marks, learnt=learnt)) is not None:
                raise Unusable(reason)
            for result in take(form, row, intake):
                if result.id in found:
                    dropped["duplicate"] += 1
                else:
                    found[result.id] = result
        except Unusable as unusable:
            dropped[unusable.reason] += 1
        name = next((row[key] for key in IDS if isinstance(row.get(key), (str, int))), None)
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
        raise InputError.at(opened.path, None, f"{form.name}, but no usable row ({listed})", layout.remedy(reasons))
    account = Account(
        form.name, len(found), reasons, counted["rows"], opened.container, counted["repeated ids"],
        unread=dict(layout.unread), thoughts=counted["thoughts"], trained_thoughts=trained,
        notes=layout.notes(best), columns=layout.columns.of(form.roles),
    )  # fmt: skip
    return list(found.values()), account
