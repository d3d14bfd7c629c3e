"""What is asked of the user where a column that nobody reads speaks against its row, and the answers that settle it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from judgeloop.data.columns import Columns
from judgeloop.data.marks import is_blank
from judgeloop.data.names import NAMES, plain_name

Kind = Literal[
    "prompt", "better", "critic", "failed", "votes", "word", "score", "label", "bad_label", "swapped", "margin", "pair",
    "within", "options", "true", "out", "kept", "dismissed",
]  # fmt: skip


class Said(NamedTuple):
    """A cell that speaks against its row."""

    key: str
    kind: Kind
    value: Any

    def __str__(self) -> str:
        return f"'{self.key}' is {self.value!r:.60}"


_RESULT = 3  # times as long as a result, at least, is the solution that leads to it
_Doubt = tuple[str, str] | None
_BAD_ONES = "which may call the answer bad, and bad ones must not be learnt"


def _of_the_prompt(said: Said, row: Mapping[str, Any], columns: Columns) -> _Doubt:
    asked = columns.roles["prompt"]
    if said.value == row.get(asked):
        return None
    return f"'{said.key}' may be what was answered, and not '{asked}'", _say(f"prompt: {said.key}", f"prompt: {asked}")


def _of_options(said: Said, row: Mapping[str, Any], columns: Columns) -> _Doubt:
    answer = columns.roles["response"]
    if len(str(row.get(answer)).strip(" ().")) >= 3:
        return None
    return (
        f"'{answer}' is {row.get(answer)!r:.60}, which may only name one of the '{said.key}'",
        "write them into the prompt and the answer in words, or learn it as it is: "
        f"seed_data.fields: {{response: {answer}}}",
    )


def _of_another_answer(said: Said, row: Mapping[str, Any], columns: Columns) -> _Doubt:
    answer = next(columns.roles[role] for role in ("response", "conversation", "text") if role in columns)
    given = str(row.get(answer))
    if str(said.value).strip() in given:
        return None
    if plain_name(said.key) in NAMES["response"] and _RESULT * len(str(said.value).split()) < len(given.split()):
        return None  # what a solution comes to, and no other solution
    return (
        f"'{said.key}' may be better than the answer in '{answer}'",
        _say(f"response: {said.key}", f"chosen: {said.key}, rejected: {answer}", f"response: {answer}"),
    )


def _of_a_failure(said: Said, row: Mapping[str, Any], columns: Columns) -> _Doubt:
    if is_blank(row.get(columns.roles.get("response", ""), "?")):
        return None  # a row without an answer is dropped anyhow
    return (
        f"{said}: the answer may have failed",
        "remove such rows, or learn them all the same: seed_data.fields: {bad_label: null}",
    )


def _of_votes(said: Said, _row: Mapping[str, Any], columns: Columns) -> _Doubt:
    voted = columns.roles["score"]
    return (
        f"'{said.key}' counts against an answer that '{voted}' rates",
        f"write their difference in a column 'score', or say that '{voted}' is enough: "
        f"seed_data.fields: {{score: {voted}}}",
    )


def _of_the_order(said: Said, _row: Mapping[str, Any], columns: Columns) -> _Doubt:
    chosen, rejected = columns.roles["chosen"], columns.roles["rejected"]
    return (
        f"{said}: '{chosen}' may not be the better answer",
        f"mend or remove such rows, or say that it is: seed_data.fields: {{chosen: {chosen}, rejected: {rejected}}}",
    )


def _of_a_critic(said: Said, _row: Mapping[str, Any], _columns: Columns) -> _Doubt:
    return (
        f"{said}, {_BAD_ONES}",
        "write one word or number beside it, or leave it unread: seed_data.fields: {label: null}",
    )


def _of_a_score(said: Said, _row: Mapping[str, Any], _columns: Columns) -> _Doubt:
    return (
        f"{said}, which may rate the answer, and bad ones must not be learnt",
        _say(f"score: {said.key}", "score: null") + " if it does not rate the answer; of several write one number",
    )


def _of_a_label(said: Said, _row: Mapping[str, Any], columns: Columns) -> _Doubt:
    role = "bad_label" if said.kind == "bad_label" else "label"
    return (
        f"{said}, {_BAD_ONES}",
        _say(f"{role}: {said.key}", f"label: {columns.roles.get('label', 'null')}") + " if it does not rate the answer",
    )


def _of_the_row(said: Said, _row: Mapping[str, Any], _columns: Columns) -> _Doubt:
    role = "kept" if said.kind == "kept" else "left_out"
    drop = f"drop them by seed_data.fields: {{{role}: {said.key}}}"
    return (
        f"{said}: the row may not be meant to be used",
        f"{'remove such rows' if said.kind == 'dismissed' else drop}, or use them all the same: "
        f"seed_data.fields: {{{role}: null}}",
    )


_DOUBTS: Mapping[Kind, Callable[[Said, Mapping[str, Any], Columns], _Doubt]] = {
    "prompt": _of_the_prompt, "options": _of_options, "better": _of_another_answer, "true": _of_another_answer,
    "failed": _of_a_failure, "votes": _of_votes, "swapped": _of_the_order, "margin": _of_the_order,
    "pair": _of_the_order, "critic": _of_a_critic, "score": _of_a_score,
    "out": _of_the_row, "kept": _of_the_row, "dismissed": _of_the_row,
}  # fmt: skip


def question_of(said: Said, row: Mapping[str, Any], columns: Columns) -> tuple[str, str] | None:
    """What is wrong with a row by what one of its cells says, and what to do; None if it is nothing after all."""
    return _DOUBTS.get(said.kind, _of_a_label)(said, row, columns)


def _say(*answers: str) -> str:
    return "say which: " + ", or ".join(f"seed_data.fields: {{{answer}}}" for answer in answers)
