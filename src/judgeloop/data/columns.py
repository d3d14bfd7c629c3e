"""Which column of a file says what: a table of the names that data sets use, and how a row's own are found in it.

Names are compared without regard to case and to how words are joined ("Response A", "responseA", "response_a"). Of the
names of a role the first that the row has counts.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from judgeloop.data.fields import decoded, label_of, number_of, numbers_of
from judgeloop.data.names import BARE, NAMES, ROLES, plain_name
from judgeloop.data.provenance import Place
from judgeloop.data.sides import AnswerColumn, sides_of
from judgeloop.errors import InputError

_USER_ONLY = ("turns", "thread", "chat_history")  # a list of texts there need not take turns
_OVERALL = re.compile(r"(?:.*_)?(?:score|rating|reward|helpfulness|stars)")


@dataclass(frozen=True, slots=True)
class Columns:
    """Role → column. `sides` are answers that have a column each, `doubtful` columns of which any may be the score."""

    roles: Mapping[str, str] = field(default_factory=dict)
    sides: tuple[AnswerColumn, ...] = ()
    doubtful: tuple[str, ...] = ()

    def of(self, roles: Container[str]) -> dict[str, str]:
        """These roles and the sides, each with its column."""
        found = {role: key for role, key in self.roles.items() if role in roles}
        for side in self.sides:
            parts = {"answer": side.answer, "score": side.score, "won": side.won, "safe": side.safe}
            found |= {f"{part} {side.name}": key for part, key in parts.items() if key is not None}
        return found

    def __contains__(self, role: object) -> bool:
        return role in self.roles


EMPTY = Columns()


def given_columns(
    row: Mapping[str, Any], fields: Mapping[str, str | None] | None, place: Place
) -> Mapping[str, str | None] | None:
    """What the user says of a file's columns, checked against its first row. A file that has none of the columns is
    another file than the one that was meant, and is read without. Raises InputError for an unknown role, and for a file
    that has some of the columns only."""
    named = {role: key for role, key in (fields or {}).items() if key is not None}
    for role in fields or {}:
        if role not in NAMES:
            raise InputError(f"seed_data.fields: {role} is no role of a column; the roles are {', '.join(ROLES)}")
    missing = [key for key in named.values() if key not in row]
    if missing and len(missing) == len(named):
        return {role: key for role, key in (fields or {}).items() if key is None}
    if missing:
        keys = ", ".join(list(row)[:20]) or "none"
        raise place.error(f"no field '{missing[0]}' (its keys: {keys})", "mend seed_data.fields")
    return fields


def columns_of(row: Mapping[str, Any], given: Mapping[str, str | None] | None = None) -> Columns:
    """The columns of a row, found by name and by the kind of value; `given` (role → column, or None for "no column
    says this") goes before what is found."""
    names: dict[str, str] = {}
    for key in row:
        names.setdefault(plain_name(key), key)
    taken = {key for key in (given or {}).values() if key is not None}
    free = {name: key for name, key in names.items() if key not in taken}
    sides = sides_of(row, free)
    for side in sides:
        for column in (side.answer, side.score, side.won, side.safe):
            free = {name: other for name, other in free.items() if other != column}
    roles: dict[str, str] = {}
    for role, known in NAMES.items():
        if given and role in given:
            continue
        found = next((free[name] for name in known if name in free and _fits(role, row[free[name]], name, roles)), None)
        if found is not None:
            roles[role] = found
    roles = {**roles, **{role: key for role, key in (given or {}).items() if key is not None}}
    return _settled(row, free, roles, sides, given or {})


def _fits(role: str, value: object, name: str, roles: Mapping[str, str]) -> bool:
    """Whether a value can be what its column's name promises. A null can be anything."""
    listed = _listed(value)
    if role == "conversation" and name in ("contents", "data"):  # names that say little by themselves
        return "prompt" not in roles and _in_turn(value, name)
    if role == "conversation":
        return name in ("messages", "conversations") or (listed and not (name in _USER_ONLY and _texts(value)))
    if role == "answers":
        return name == "responses" or listed
    if role in ("ranks", "scores"):
        return numbers_of(value) is not None
    if role == "history":
        return not isinstance(value, str) or "prompt" in roles
    if role == "input" and "prompt" not in roles:
        return False
    if role in ("score", "rank", "chosen_score", "rejected_score"):
        return value is None or value == "" or (not isinstance(value, bool) and number_of(value) is not None)
    if role in ("label", "bad_label"):
        return value is None or label_of(value) is not None
    if role in ("chosen", "rejected"):
        return value is None or isinstance(value, (str, list, dict))
    if role == "winner":
        return value is None or isinstance(value, (str, int, float))
    return True


def _settled(
    row: Mapping[str, Any],
    free: Mapping[str, str],
    roles: dict[str, str],
    sides: tuple[AnswerColumn, ...],
    given: Mapping[str, str | None],
) -> Columns:
    """The roles that hold together: a score of one answer beside several is none, an `input` that an `output` answers
    is the prompt, and so on."""
    if "chosen" not in roles or "rejected" not in roles:
        for role in ("chosen", "rejected", "chosen_score", "rejected_score"):
            if role not in given:
                roles.pop(role, None)
    pair = "chosen" in roles
    voted = "winner" in roles or "scores" in roles or any(side.score or side.won for side in sides)
    if pair or ("response" in roles and not voted):
        sides = ()
    answered = pair or bool(sides) or "answers" in roles or "response" in roles
    if "prompt" not in roles and "conversation" not in roles:
        texts = [name for name in ("input", "history", "context", "post", "info") if name in free]
        texts = [name for name in texts if name != "info" or _asks(row[free[name]])]
        rest = [name for name in texts if isinstance(row[free[name]], (str, list)) or _asks(row[free[name]])]
        if rest and answered and "prompt" not in given:
            roles["prompt"] = free[rest[0]]
    if isinstance(row.get(free.get("context", "")), list) and answered and "prompt" not in given:
        roles["prompt"] = free["context"]
    said = row.get(roles.get("conversation", ""))
    if isinstance(said, list) and said and isinstance(said[0], Mapping) and "author" in said[0] and "context" in free:
        roles.setdefault("system", free["context"])  # Vertex
    for role in ("input", "history"):
        if roles.get(role) is not None and roles[role] == roles.get("prompt"):
            del roles[role]
    if "orig_instruction" in free and "orig_response" in free and "conversation" not in given:
        roles.pop("conversation", None)  # Prometheus: the others hold a judge's prompt and what it wrote
    ranked = "ranks" in roles or "scores" in roles
    if "answers" in roles and "response" in roles and not ranked and plain_name(roles["answers"]) != "responses":
        del roles["answers"]
    if not answered and "prompt" not in given and plain_name(roles.get("prompt", "prompt")) not in BARE:
        del roles["prompt"]  # a "user" or a "request" with nothing beside it may be anything
    several = pair or bool(sides) or "answers" in roles
    doubtful: tuple[str, ...] = ()
    one = "response" in roles or "conversation" in roles
    if several or not one:
        for role in ("score", "rank", "label", "bad_label"):
            if role not in given:
                roles.pop(role, None)
    elif "score" not in roles and "score" not in given:
        found = [
            key for name, key in free.items() if _OVERALL.fullmatch(name) and _fits("score", row[key], name, roles)
        ]
        if len(found) == 1:
            roles["score"] = found[0]
        elif "label" not in roles and "bad_label" not in roles:
            numbered = free.get("label") if number_of(row.get(free.get("label", ""))) is not None else None
            doubtful = tuple([*found, numbered] if numbered else found)
    if "answers" not in roles and not sides:
        for role in ("ranks", "scores", "winner", "tie"):
            roles.pop(role, None)
    used = {key for role, key in roles.items() if role in ("prompt", "conversation", "response", "chosen", "rejected")}
    for role in ("input", "label", "bad_label", "winner"):  # a name that two roles share is the first one's
        if role not in given and roles.get(role) in used:
            del roles[role]
    return Columns(roles, sides, doubtful)


def _listed(value: object) -> bool:
    """A list, also one in a string, or an object of columns."""
    if isinstance(value, str):
        value = decoded(value)
    return isinstance(value, (list, Mapping)) or value is None


def _asks(value: object) -> bool:
    """An object that holds what is asked: messages (OpenAI's preference format), or a post (TL;DR)."""
    return isinstance(value, Mapping) and (
        isinstance(value.get("messages"), list) or isinstance(value.get("post"), str)
    )


def _in_turn(value: object, name: str) -> bool:
    """Whether a list is a conversation as Gemini (`contents`) or UltraChat (`data`) writes one."""
    if name == "data":
        return isinstance(value, list) and len(value) % 2 == 0 and _texts(value)
    return isinstance(value, list) and bool(value) and all(isinstance(i, Mapping) and "parts" in i for i in value)


def _texts(value: object) -> bool:
    """A list of texts alone: turns of whom?"""
    value = decoded(value) if isinstance(value, str) else value
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
