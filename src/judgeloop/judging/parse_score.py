"""Read the score from what the judge wrote, and from nothing else.

A missing, out-of-range or ambiguous score is None with a reason, never a number. docs/judging.md lists the forms read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from judgeloop.judging.answers import PLAIN, Answer, masked, plain, settle, usual_forms, without_repeated
from judgeloop.judging.json_scores import json_answers, json_spans
from judgeloop.judging.score_line import line_answers, score_words
from judgeloop.judging.structured_scores import (
    Scale,
    bare_answer,
    boxed_answers,
    bracketed_answers,
    element_spans,
    reason_spans,
    tag_answers,
    within,
)
from judgeloop.judging.table_scores import table_answers, table_spans
from judgeloop.records import MAX_SCORE
from judgeloop.text.thoughts import split_thought

UNCLOSED = "the thought was never closed"


@dataclass(frozen=True, slots=True)
class Score:
    """`value` on the rubric's scale, or None with the reason why there is none."""

    value: float | None
    reason: str | None


def parse_score(
    text: str, low: int = 0, high: int = MAX_SCORE, label: str | None = None, form: str | None = None
) -> Score:
    """Return the score that a judge's text gives.

    `low` and `high` bound the scale. `label` is a rubric's own word for "Score", known beside the usual ones; `form` is
    the one form that counts, if the rubric names one: "json KEY", "[[n]]" or "<TAG>".

    A thought is cut away first. The first complete answer counts, unless a later one is called final or corrects it.
    Refused: no answer, a number outside the scale, more than one number ("3-4", "3 or 4"), a total other than `high`, a
    percentage, words instead of a number, two answers that contradict each other.
    """
    spoken = split_thought(text)
    said = spoken.before if spoken.answer is None else spoken.answer
    found, labels = _answers(said, Scale(score_words(label), low, high), form)
    answer = settle(plain(said), found, scored=True)
    if answer is not None:
        return Score(answer.value, answer.reason)
    if spoken.answer is None:
        return Score(None, UNCLOSED)
    missing = f"no score in the form '{form}'" if form else "no score line"
    return Score(None, "no number on the score line" if labels else missing)


def score_place(
    text: str, low: int = 0, high: int = MAX_SCORE, label: str | None = None, form: str | None = None
) -> tuple[int, int] | None:
    """Where the score that counts is: from the label's first letter to the end of the number. None without a score."""
    spoken = split_thought(text)
    said = spoken.before if spoken.answer is None else spoken.answer
    answer = settle(plain(said), _answers(said, Scale(score_words(label), low, high), form)[0], scored=True)
    if answer is None or answer.value is None:
        return None
    offset = text.rfind(said)
    return offset + answer.start, offset + answer.end


def score_spans(text: str, label: str | None = None, form: str | None = None) -> list[tuple[int, int]]:
    """Where scores are, on whatever scale, whether they count or not: from the label's first letter to the end of the
    number. Those that a structure or a thought hides are among them, such as a score line in a JSON string."""
    scale = Scale(score_words(label), 0, MAX_SCORE)
    spans: set[tuple[int, int]] = set()
    spoken = split_thought(text)
    for said in {text, spoken.before if spoken.answer is None else spoken.answer}:
        offset = text.rfind(said)
        lines = line_answers(plain(said), scale.words, scale.low, scale.high)
        found = [*_answers(said, scale, form)[0], *(line for line in lines if line is not None)]
        spans |= {(offset + answer.start, offset + answer.end) for answer in found}
    return sorted(spans)


def _answers(text: str, scale: Scale, form: str | None) -> tuple[list[Answer[float]], int]:
    """The answers in a text, and how many labels have no number."""
    wide = without_repeated(usual_forms(text))
    found = list(_in_form(wide, scale, form) if form else _in_any_form(wide, scale))
    answers = [answer for answer in found if answer is not None]
    return answers, len(found) - len(answers)


def _in_form(text: str, scale: Scale, form: str) -> Iterator[Answer[float] | None]:
    if form == "[[n]]":
        yield from bracketed_answers(text, scale, PLAIN)
    elif form.startswith("json "):
        yield from json_answers(text, json_spans(text), scale, form.removeprefix("json "))
    else:
        yield from tag_answers(text, scale, form.strip("<>"))


def _in_any_form(text: str, scale: Scale) -> Iterator[Answer[float] | None]:
    objects = json_spans(text)
    in_json = list(json_answers(text, objects, scale))
    bare = plain(text)
    tables = table_spans(bare)
    in_tables = list(table_answers(bare, tables, scale))
    reasons = reason_spans(text)
    in_tags = list(tag_answers(text, scale))
    # What a judge weighs in an element of reasons is not its answer if there is one outside.
    weighed = [answer for answer in in_tags if answer is not None and within(answer, reasons)]
    if any(answer is not None and answer not in weighed for answer in in_tags):
        in_tags = [answer for answer in in_tags if answer not in weighed]
    # What a structure holds is read there: words inside a JSON string are not a score line, nor those in an element
    # beside the one that gives the score.
    taken = [(start, end) for start, end, _ in objects] if in_json else []
    scored = [answer for answer in in_tags if answer is not None and answer.rank >= PLAIN]
    elements = element_spans(text, scored) if scored else []
    rest = masked(bare, sorted([*taken, *(tables if in_tables else []), *elements]))
    yield from in_json
    yield from in_tables
    yield from in_tags
    outside = list(line_answers(masked(rest, reasons), scale.words, scale.low, scale.high))
    said = any(answer is not None for answer in outside)
    yield from outside if said else line_answers(rest, scale.words, scale.low, scale.high)
    yield from bracketed_answers(text, scale)
    yield from boxed_answers(text, scale)
    yield from bare_answer(text, scale)
