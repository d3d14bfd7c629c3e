"""Which column of a file says what: how a row's own columns are found in the table of the names that data sets use.

Names are compared without regard to case and to how words are joined ("Response A", "responseA", "response_a"). Of the
names of a role the first that the row has counts.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from judgeloop.data.cells import are_texts, asks, ends_with_answer, in_turn, is_listed, is_talk, says
from judgeloop.data.fields import decoded, numbers_of
from judgeloop.data.marks import fault_of, is_blank, is_flag, label_of, mark_of, says_neither
from judgeloop.data.names import BARE, NAMES, ROLES, may_answer, plain_name
from judgeloop.data.provenance import Place
from judgeloop.data.rating_columns import NO_RATINGS, RATINGS, RatingColumns, label_by_parts, rating_columns
from judgeloop.data.row_marks import ROW_ROLES, row_marks
from judgeloop.data.sides import AnswerColumn, index_beside, side_named, sides_of, sides_with, vote_beside
from judgeloop.data.transcripts import split_transcript
from judgeloop.errors import InputError

_USER_ONLY = ("turns", "thread", "chat_history")  # a list of texts there need not take turns
_OFTEN_A_NAME = ("human", "user", "request")  # of who asked, or of the call
_WHO = frozenset({"role", "from", "speaker", "author"})  # what tells a message from a passage
_MAY_BE_FLAGS = ("good", "bad", "safe", "unsafe", "desired", "undesired", "accept", "reject", "best", "win", "winner")
_MANY = ("ratings", "scores", "rewards", "ranks", "rankings")
_REJECTED = re.compile(r"(?:rejected|dispreferred|non_?preferred|unpreferred)(_\w+)?")
_HALF = re.compile(
    r"(?:chosen|rejected|dispreferred|real|generated|best_answer|(?:in)?correct_answers?)"
    r"(?:_(?:response|answer|output|completion|text|messages?))?"
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Role → column. `sides` are answers that have a column each; `given` are the roles that the user speaks of;
    `ratings` says which columns may rate the answer, though it is not known how; `half` is one side of a pair without
    the other, or what may be an answer; `marks` (role, column) are of the row as a whole."""

    roles: Mapping[str, str] = field(default_factory=dict)
    sides: tuple[AnswerColumn, ...] = ()
    ratings: RatingColumns = NO_RATINGS
    half: str | None = None
    marks: tuple[tuple[str, str], ...] = ()
    given: frozenset[str] = frozenset()

    def of(self, roles: Container[str]) -> dict[str, str]:
        """These roles and the sides, each with its column."""
        found = {role: key for role, key in self.roles.items() if role in roles}
        for side in self.sides:
            parts = {
                "answer": side.answer, "score": side.score, "rank": side.rank, "won": side.won, "safe": side.safe
            }  # fmt: skip
            found |= {f"{part} {side.name}": key for part, key in parts.items() if key is not None}
        return found | {f"{role} {key}": key for role, key in self.ratings.more if role in roles}

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
        for column in (side.answer, side.score, side.rank, side.won, side.safe):
            free = {name: other for name, other in free.items() if other != column}
    roles: dict[str, str] = {}
    for role, known in NAMES.items():
        if role in ROW_ROLES or (given and role in given):
            continue
        found = next((free[name] for name in known if name in free and _fits(role, row[free[name]], name, roles)), None)
        if found is None and role in ("label", "bad_label"):
            found = next((key for name, key in free.items() if label_by_parts(name, row[key]) == role), None)
        if found is not None:
            roles[role] = found
    if "winner" not in roles and "winner" not in (given or {}) and (sides or "answers" in roles):
        vote = vote_beside(row, free, [side.name for side in sides]) if sides else index_beside(row, free)
        roles |= {} if vote is None else {"winner": vote}
    roles = {**roles, **{role: key for role, key in (given or {}).items() if key is not None}}
    return _settled(row, free, roles, sides, given or {})


def _fits(role: str, value: object, name: str, roles: Mapping[str, str]) -> bool:
    """Whether a value can be what its column's name promises. A null can be anything."""
    listed = is_listed(value)
    if role == "conversation" and name in ("contents", "data"):  # names that say little by themselves
        return "prompt" not in roles and in_turn(value, name)
    if role == "conversation":
        told = isinstance(value, str) and name in ("chat", "dialogue", "dialog") and bool(split_transcript(value))
        return (
            told or name in ("messages", "conversations") or (listed and not (name in _USER_ONLY and are_texts(value)))
        )
    if role == "answers":
        return name == "responses" or listed
    if role in ("ranks", "scores"):
        return numbers_of(value) is not None or (name in _MANY and is_blank(value))
    if role == "history":
        return not isinstance(value, str) or "prompt" in roles
    if role == "input" and "prompt" not in roles:
        return False
    if role == "score":
        return mark_of(value) is not None
    if role in ("rank", "chosen_score", "rejected_score"):
        mark = mark_of(value)
        return mark is not None and mark.good is None
    if role == "label":
        return says_neither(value) or label_of(value) is not None
    if role == "response" and name == "a":
        return plain_name(roles.get("prompt", "")) == "q"
    if role == "bad_label":
        known = is_flag(value) if name == "rejected" else fault_of(value) is not None
        return known or says_neither(value)
    if role in ("chosen", "rejected") and name in _MAY_BE_FLAGS and label_of(value) is not None:
        return False
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
    judged = "orig_instruction" in free  # Prometheus: columns of other names hold a judge's prompt and what it wrote
    if judged:
        for role, known in (("conversation", ""), ("response", "orig_response"), ("input", "orig_input")):
            if role not in given and role in roles and plain_name(roles[role]) != known:
                del roles[role]
    _pair(row, roles, sides, given)
    pair = "chosen" in roles
    voted = any(role in roles for role in ("winner", "scores", "ranks"))
    voted = voted or any(side.score or side.won or side.rank for side in sides)
    if pair or ("response" in roles and not voted):
        sides = ()
    answered = pair or bool(sides) or "answers" in roles or "response" in roles
    _ask(row, free, roles, given, answered)
    if not {"prompt", "conversation"} & {*roles, *given}:  # messages, whatever their column is called
        talks = [key for key in free.values() if key not in roles.values() and is_talk(row[key])]
        if len(talks) == 1 and (answered or ends_with_answer(row[talks[0]])):
            roles["conversation"] = talks[0]
    ranked = "ranks" in roles or "scores" in roles
    if "answers" in roles and "response" in roles and not ranked and plain_name(roles["answers"]) != "responses":
        del roles["answers"]
    several = pair or bool(sides) or "answers" in roles
    told = "text" in roles and "prompt" not in roles
    one = not several and ("response" in roles or "conversation" in roles or told)
    if not one:
        for role in RATINGS:
            if role not in given:
                roles.pop(role, None)
    if "answers" not in roles and not sides:
        for role in ("ranks", "scores", "winner", "tie"):
            roles.pop(role, None)
    ratings = rating_columns(row, free, roles, given) if one else NO_RATINGS
    used = {key for role, key in roles.items() if role in ("prompt", "conversation", "response", "chosen", "rejected")}
    for role in ("input", "label", "bad_label", "winner"):  # a name that two roles share is the first one's
        if role not in given and roles.get(role) in used:
            del roles[role]
    half = None
    if not several and not one and not {"chosen", "rejected", "response"} & set(given):
        half = next((key for name, key in free.items() if _is_half(name, row[key])), None)
    return Columns(roles, sides, ratings, half, row_marks(row, free, given), frozenset(given))


def _is_half(name: str, value: object) -> bool:
    """Whether a column may answer the prompt, or is one side of a pair. A `label` may be what is to be written."""
    if isinstance(value, Mapping) and {plain_name(str(part)) for part in value} >= {"chosen", "rejected"}:
        return True
    if name in ("label", "labels"):
        return isinstance(value, str) and len(value.split()) > 2
    return (_HALF.fullmatch(name) is not None or may_answer(name)) and says(value)


def _pair(
    row: Mapping[str, Any],
    roles: dict[str, str],
    sides: tuple[AnswerColumn, ...],
    given: Mapping[str, str | None],
) -> None:
    """Both sides of a pair or neither. Of answers with a column each, "chosen" and "rejected" may be but the names; and
    an answer may stand beside one that was rejected."""
    found = [roles.get(role) for role in ("chosen", "rejected")]
    both = [key for key in found if key is not None]
    if sides and len(both) == 2 and not {"chosen", "rejected"} & set(given):
        texts = [row[side.answer] for side in sides]
        names = [side.name for side in sides]
        named = [
            isinstance(row[key], str)
            and row[key] not in texts
            and (side_named(row[key], names) is not None or len(sides_with(row, names, row[key])) == 1)
            for key in both
        ]
        if all(named):
            if "winner" not in given:
                roles["winner"] = both[0]
            found = [None, None]
            del roles["chosen"], roles["rejected"]
    rejected = found[1]
    if found[0] is None and rejected is not None and "chosen" not in given:
        match = _REJECTED.fullmatch(plain_name(rejected))
        if "rejected" in given or (match and (match[1] or says(row[rejected]))):
            talk = roles.get("conversation")
            whole = talk is not None and "prompt" not in roles and ends_with_answer(row[talk])
            role = "conversation" if whole or "response" not in roles else "response"
            if role in roles:
                roles["chosen"] = roles.pop(role)
    if "chosen" not in roles or "rejected" not in roles:
        for role in ("chosen", "rejected", "chosen_score", "rejected_score"):
            if role not in given:
                roles.pop(role, None)


def _ask(
    row: Mapping[str, Any],
    free: Mapping[str, str],
    roles: dict[str, str],
    given: Mapping[str, str | None],
    answered: bool,
) -> None:
    """The prompt: an `input` that is answered is one, a `user` beside it is a name, and messages in `context` are what
    was said before."""
    own = "prompt" not in given
    if "prompt" not in roles and "conversation" not in roles:
        texts = [name for name in ("input", "history", "context", "post", "info") if name in free]
        texts = [name for name in texts if name != "info" or asks(row[free[name]])]
        rest = [name for name in texts if isinstance(row[free[name]], (str, list)) or asks(row[free[name]])]
        if rest and answered and own:
            roles["prompt"] = free[rest[0]]
    if own and "prompt" in roles and (asked := _rendered(row, free, roles)) is not None:
        roles["prompt"] = asked
    named = plain_name(roles.get("prompt", "")) in _OFTEN_A_NAME
    if named and answered and own and says(row.get(free.get("input", ""))):
        roles["prompt"] = free["input"]
    context = free.get("context", "")
    said = row.get(context)
    said = decoded(said) if isinstance(said, str) else said
    if isinstance(said, list) and answered and roles.get("prompt", context) != context:
        spoken = all(isinstance(item, Mapping) and not _WHO.isdisjoint(item) for item in said)
        if spoken and "history" not in roles and "history" not in given:
            roles["history"] = context
    elif isinstance(row.get(context), list) and answered and own:
        roles["prompt"] = context
    talk = row.get(roles.get("conversation", ""))
    if context and isinstance(talk, list) and talk and isinstance(talk[0], Mapping) and "author" in talk[0]:
        roles.setdefault("system", context)  # Vertex
    for role, first in (("input", "prompt"), ("history", "prompt"), ("input", "history")):
        if role in roles and roles[role] == roles.get(first):
            del roles[role]
    if own and plain_name(roles.get("prompt", "")) == "definition" and "inputs" in free and "input" not in roles:
        roles["input"] = free["inputs"]  # Natural Instructions
    if not answered and own and plain_name(roles.get("prompt", "prompt")) not in BARE:
        del roles["prompt"]  # a "user" or a "request" with nothing beside it may be anything


def _rendered(row: Mapping[str, Any], free: Mapping[str, str], roles: Mapping[str, str]) -> str | None:
    """The column with what is asked, where the prompt's own column holds question and answer in one text."""
    whole, answer = row[roles["prompt"]], row.get(roles.get("response", ""))
    if not isinstance(whole, str) or not isinstance(answer, str) or len(answer.split()) < 3:
        return None
    if not whole.rstrip().endswith(answer.strip()):
        return None
    asked = [free[name] for name in NAMES["prompt"] if name in free and free[name] != roles["prompt"]]
    return next((key for key in asked if isinstance(row[key], str) and row[key].strip() in whole), None)
