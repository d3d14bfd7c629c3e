"""Answers with a column each, known by how the columns are numbered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.data.foreign_names import FOREIGN
from judgeloop.data.marks import is_tie
from judgeloop.data.names import NAMES, may_be_compared, plain_name

_SIDE = r"(?:[0-9]{1,2}|[a-h])"
_ANSWER = (
    r"response|answer|output|completion|generation|reply|candidate|human_ref|model_output|conversation|summary|assistant|"
    r"sample|model_response|text|resp|ans"
)
_ANSWER += "|" + "|".join(FOREIGN["response"])
_AFTER = re.compile(rf"(?:orig_)?(?P<stem>{_ANSWER})_?(?P<side>{_SIDE})(?:_(?:body|text|content|response))?")
_BEFORE = re.compile(rf"(?:model_|assistant_)?(?P<side>{_SIDE})_(?P<stem>response|answer|output|completion)")
_OPPOSITES = (("left", "right", "middle"), ("first", "second", "third"), ("a", "b", "c"), ("1", "2", "3"))
_INDEX = re.compile(r"(?:best|chosen|preferred|better|winner|winning|selected)(?:_[a-z]+)?_(?:idx|index)")
_PLACES = (("a", "b"), ("left", "right"), ("first", "second"))  # of two sides of other names; letters of numbers alone
_CHOICES = frozenset(("option", "choice", "alternative"))  # of a question, unless a vote says that they are compared
_VOTE = re.compile(
    r"(?:better|best|preferred|winning|winner|chosen|selected|human|judge|annotator|user|gold|final)"
    r"_(?:option|candidate|side|model|id|idx|index|answer|response|output|completion|choice|preference|vote|verdict|label)"
    r"(?:_(?:id|idx|index))?|vote|voted|selection|comparison"
)


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """One of several answers with a column each: what tells it apart ("0", "a"), its column, and the columns with its
    score, its rank, a 1 if it won, and whether it is safe."""

    name: str
    answer: str
    score: str | None = None
    rank: str | None = None
    won: str | None = None
    safe: str | None = None


def sides_of(row: Mapping[str, Any], free: Mapping[str, str]) -> tuple[AnswerColumn, ...]:
    """Answers with a column each: `response_0` and `response_1`, `answer1` and `answer2`, `human_ref_A` and `_B`."""
    found: dict[str, dict[str, str]] = {}
    for name, key in free.items():
        match = _AFTER.fullmatch(name) or _BEFORE.fullmatch(name)
        value = row[key]
        if match is not None and (value is None or (isinstance(value, (str, list, dict)))):
            found.setdefault(match["stem"], {}).setdefault(match["side"], key)
    stems = [stem for stem in _ANSWER.split("|") if len(found.get(stem, {})) >= 2]
    if not stems:
        return tuple(AnswerColumn(side, key) for side, key in _opposites(row, free).items())
    stem, answers = stems[0], found[stems[0]]

    def column(side: str, *patterns: str) -> str | None:
        names = [pattern.format(side=side, stem=stem) for pattern in patterns]
        return next((free[name] for name in names if name in free), None)

    return tuple(
        AnswerColumn(
            side,
            key,
            column(
                side, "score_{side}", "rating_{side}", "{stem}_{side}_score", "{stem}_{side}_rating", "score{side}",
                "score_{stem}_{side}", "{stem}{side}_score", "rating{side}", "overall_score_{side}", "reward_{side}",
                "{side}_score", "helpfulness_{side}", "{stem}_score_{side}", "{stem}_rating_{side}",
                "orig_score_{side}",
            ),
            column(side, "rank_{side}", "rank{side}", "{stem}_{side}_rank", "{stem}_rank_{side}", "{side}_rank"),
            column(side, "winner_model_{side}", "winner_{side}", "{side}_wins", "model_{side}_wins"),
            column(side, "is_{stem}_{side}_safe", "{stem}_{side}_safe", "is_safe_{side}", "{stem}_{side}_is_safe"),
        )
        for side, key in sorted(answers.items())
    )  # fmt: skip


def _opposites(row: Mapping[str, Any], free: Mapping[str, str]) -> dict[str, str]:
    """Two columns whose names differ in their side alone (`left` and `right`, `story_a` and `story_b`) and that a vote
    compares, by their sides. Three are the choices of a question."""
    for sides in _OPPOSITES:
        for name, key in free.items():
            split = re.fullmatch(rf"(?P<before>|.*_|.*[^\W\d_](?=\d)){sides[0]}(?P<after>|_.*)", name)
            stem = frozenset() if split is None else frozenset((split["before"] + split["after"]).split("_"))
            if split is None or not may_be_compared(stem - _CHOICES):
                continue
            other, third = (free.get(f"{split['before']}{side}{split['after']}") for side in sides[1:])
            if other is None or third is not None:
                continue
            texts = all(isinstance(row[column], (str, list, dict)) and row[column] for column in (key, other))
            votes = [vote for vote in free if vote in NAMES["winner"] or _VOTE.fullmatch(vote)]
            if stem & _CHOICES:
                votes = [vote for vote in votes if vote.startswith(("better", "preferred", "winn"))]
            said = [row[free[vote]] for vote in votes]
            if texts and any(_names_one(word, sides[:2]) for word in said):
                return {sides[0]: key, sides[1]: other}
    return {}


def vote_beside(row: Mapping[str, Any], free: Mapping[str, str], names: Sequence[str]) -> str | None:
    """The column of an unusual name (`better_option`, `judge_verdict`) that says which side won; None without one."""
    for name, key in free.items():
        value = row[key]
        voted = _values(value)
        if _VOTE.fullmatch(name) and (isinstance(value, int) or _names_one(value, names)):
            return key
        if (_VOTE.fullmatch(name) or name in NAMES["winner"]) and any(_names_one(word, names) for word in voted):
            return key
    return None


def index_beside(row: Mapping[str, Any], free: Mapping[str, str]) -> str | None:
    """The column that counts from 0 which of a list of answers is the best (`best_response_idx`); None without one."""
    return next((key for name, key in free.items() if _INDEX.fullmatch(name) and type(row[key]) is int), None)


def agreed(vote: object) -> object:
    """A vote, also one that annotators gave as objects in a list (Argilla); blank if they do not agree."""
    values = _values(vote)
    return vote if not values else values[0] if all(value == values[0] for value in values) else ""


def _values(vote: object) -> list[Any]:
    """The values of a list of objects that each hold one; none of anything else."""
    items = vote if isinstance(vote, list) else []
    values = [item["value"] for item in items if isinstance(item, Mapping) and "value" in item]
    return values if len(values) == len(items) else []


def _names_one(word: object, names: Sequence[str]) -> bool:
    return is_tie(word) or (isinstance(word, str) and side_named(word, names) is not None)


def side_named(word: str, names: Sequence[str]) -> str | None:
    """The side that a word names by its number or letter: "b", "[[B]]", "model_b", "Response 2"; None if it names none.
    The sides' own columns are such words."""
    plain = re.sub(r"(?<=\w)[\s\-]+", "_", word.strip("[] \t\n").casefold())  # and -1 stays -1
    if plain in names:
        return plain
    noun = rf"(?:model|option|choice|side|one|{_ANSWER})"
    told = re.fullmatch(rf"(?:orig_)?{noun}_?(\w{{1,2}})|(?:the_)?(\w+?)_{noun}", plain)
    said = (told[1] or told[2]) if told is not None else plain
    if said in names:
        return said
    places = _PLACES if all(name.isdigit() for name in names) else _PLACES[1:]
    return next((names[place.index(said)] for place in places if said in place[: len(names)] and len(names) == 2), None)


def sides_with(row: Mapping[str, Any], names: Sequence[str], value: object) -> set[str]:
    """The sides whose model the value is."""
    columns = {plain_name(key): key for key in row}
    found = set()
    for name in names:
        models = [columns[known] for known in (f"model_{name}", f"model{name}", f"{name}_model") if known in columns]
        if any(row[key] == value for key in models):
            found.add(name)
    return found
