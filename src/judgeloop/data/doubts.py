"""What a column that nobody reads may say against what would be learnt from its row.

It may call the answer bad in a word or in prose, tell that the answer failed, hold a better one, or hold the prompt
that was answered in truth. None of it is guessed: each is a question, which `seed_data.fields` answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from judgeloop.data.columns import Columns
from judgeloop.data.fields import number_of
from judgeloop.data.marks import condemns, fault_of, is_blank
from judgeloop.data.names import plain_name, words

_ELSEWHERE = words(
    """prompt question instruction input query user task topic category categories type subset domain source kind tag
    tags difficulty intent lang language name title id text"""
)
_ASKED = r"(?:instruction|prompt|question|query|problem)"
_PROMPT = re.compile(
    rf"(?:evolved|rewritten|revised|improved|refined|modified)_{_ASKED}|{_ASKED}_(?:evolved|rewritten)"
)
_BETTER = re.compile(
    r"correction|revision|(?:corrected|revised|edited|improved|refined|rewritten|fixed)"
    r"(?:_(?:response|answer|output|completion|reply|solution))?"
    r"|(?:response|answer|output|completion|reply|solution)_(?:corrected|revised|edited|improved|refined|rewritten)"
)
_CRITIC = re.compile(
    r"(?:\w+_)?(?:feedbacks?|critiques?|criticism|judge?ments?|evaluation|assessment)(?:_(?:text|comment))?"
)
_FAILED = ("error", "errors", "exception", "failure", "failure_reason", "rejection_reason", "reject_reason")
_FOR, _AGAINST = ("upvotes", "votes", "likes"), ("downvotes", "dislikes")
_NONE = words("none false no 0 success ok")

_SWAPPED = words("swapped swap flipped reversed inverted")
_MARGIN = re.compile(r"(?:score|reward|rating)?_?margin|(?:score|reward|rating)_(?:diff|difference|gap)")
_DECIDED = ("status", "label", "answer", "decision", "review", "annotation", "verdict", "outcome")

Kind = Literal["prompt", "better", "critic", "failed", "votes", "word", "swapped", "margin", "pair"]
Shape = Literal["single", "rated", "pair", "other"]


class Suspect(NamedTuple):
    """A column, and what it may say by its name; a `word` may be in any."""

    key: str
    kind: Kind


def suspects_of(columns: Columns, unread: Iterable[str], *, asked: bool, shape: Shape) -> tuple[Suspect, ...]:
    """The columns of a row of a shape that may speak against it. `asked`: its prompt has a column."""
    given = columns.given
    kinds: dict[str, Kind | None] = {}
    for key in unread:
        name = plain_name(key)
        if _PROMPT.fullmatch(name) and asked and "prompt" in columns and "prompt" not in given:
            kinds[key] = "prompt"
        elif shape == "pair" and "chosen" not in given:
            kinds[key] = _of_a_pair(name)
        elif shape in ("single", "rated"):
            kinds[key] = _of_an_answer(name, columns, rated=shape == "rated")
    return tuple(Suspect(key, kind) for key, kind in kinds.items() if kind is not None)


def _of_a_pair(name: str) -> Kind | None:
    """What a column may say of a pair: that it was turned round, that it is none, or how far apart its sides are."""
    if _SWAPPED & set(name.split("_")):
        return "swapped"
    if _MARGIN.fullmatch(name):
        return "margin"
    return "pair" if name in _DECIDED else None


def _of_an_answer(name: str, columns: Columns, *, rated: bool) -> Kind | None:
    """What a column may say of the one answer of a row."""
    given = columns.given
    if _BETTER.fullmatch(name) and not given & {"response", "chosen", "conversation"}:
        return "better"
    if name in _AGAINST and plain_name(columns.roles.get("score", "")) in _FOR and "score" not in given:
        return "votes"
    if given & {"label", "bad_label"}:
        return None
    if name in _FAILED:
        return "failed"
    if _ELSEWHERE & set(name.split("_")):
        return None
    return "critic" if not rated and "score" not in given and _CRITIC.fullmatch(name) else "word"


def doubt_of(row: Mapping[str, Any], suspects: Iterable[Suspect], columns: Columns) -> tuple[str, str] | None:
    """What is wrong with a row, and what to do; None if nothing speaks against it."""
    for key, kind in suspects:
        value = row[key]
        if is_blank(value) or not _speaks(value, kind):
            continue
        said = f"'{key}' is {value!r:.60}"
        if kind == "prompt":
            asked = columns.roles["prompt"]
            if value != row.get(asked):
                return f"'{key}' may be what was answered, and not '{asked}'", _say(
                    f"prompt: {key}", f"prompt: {asked}"
                )
        elif kind == "better":
            answer = next(columns.roles[role] for role in ("response", "conversation", "text") if role in columns)
            if value != row.get(answer):
                return (
                    f"'{key}' may be better than the answer in '{answer}'",
                    _say(f"response: {key}", f"chosen: {key}, rejected: {answer}", f"response: {answer}"),
                )
        elif kind == "failed":
            if is_blank(row.get(columns.roles.get("response", ""), "?")):
                continue  # a row without an answer is dropped anyhow
            return (
                f"{said}: the answer may have failed",
                "remove such rows, or learn them all the same: seed_data.fields: {bad_label: null}",
            )
        elif kind == "votes":
            voted = columns.roles["score"]
            return (
                f"'{key}' counts against an answer that '{voted}' rates",
                f"write their difference in a column 'score', or say that '{voted}' is enough: "
                f"seed_data.fields: {{score: {voted}}}",
            )
        elif kind in ("swapped", "margin", "pair"):
            chosen = columns.roles["chosen"]
            return (
                f"{said}: '{chosen}' may not be the better answer",
                f"mend or remove such rows, or say that it is: seed_data.fields: {{chosen: {chosen}, "
                f"rejected: {columns.roles['rejected']}}}",
            )
        elif kind == "critic":
            return (
                f"{said}, which may call the answer bad, and bad ones must not be learnt",
                "write one word or number beside it, or leave it unread: seed_data.fields: {label: null}",
            )
        else:
            return (
                f"{said}, which may call the answer bad, and bad ones must not be learnt",
                _say(f"label: {key}", f"label: {columns.roles.get('label', 'null')}")
                + " if it does not rate the answer",
            )
    return None


def _speaks(value: object, kind: Kind) -> bool:
    """Whether a cell says something of its column's kind: a lone word is no prompt, no answer and no prose."""
    if kind in ("word", "pair") or (kind == "critic" and isinstance(value, str) and len(value.split()) < 3):
        return condemns(value)
    if kind == "swapped":
        return fault_of(value) is True
    if kind == "margin":
        return (number_of(value) or 0.0) < 0
    if kind == "votes":
        return bool(number_of(value))
    if kind == "failed":
        return not isinstance(value, (bool, int, float)) and str(value).strip().casefold() not in _NONE
    texts = value if isinstance(value, list) else [value]
    return any(isinstance(text, str) and len(text.split()) > 2 for text in texts)


def _say(*answers: str) -> str:
    return "say which: " + ", or ".join(f"seed_data.fields: {{{answer}}}" for answer in answers)
