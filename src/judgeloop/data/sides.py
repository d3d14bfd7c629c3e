"""Answers with a column each, known by how the columns are numbered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.data.names import plain_name

_SIDE = r"(?:[0-9]{1,2}|[a-h])"
_ANSWER = (
    r"response|answer|output|completion|generation|reply|candidate|human_ref|model_output|conversation|summary|assistant|"
    r"sample|model_response|text|resp|ans"
)
_AFTER = re.compile(rf"(?:orig_)?(?P<stem>{_ANSWER})_?(?P<side>{_SIDE})(?:_(?:body|text|content|response))?")
_BEFORE = re.compile(rf"(?:model_|assistant_)?(?P<side>{_SIDE})_(?P<stem>response|answer|output|completion)")


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
        return ()
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


def side_named(word: str, names: Sequence[str]) -> str | None:
    """The side that a word names by its number or letter: "b", "[[B]]", "model_b", "Response 2"; None if it names none.
    The sides' own columns are such words."""
    plain = re.sub(r"(?<=\w)[\s\-]+", "_", word.strip("[] \t\n").casefold())  # and -1 stays -1
    if plain in names:
        return plain
    ended = re.fullmatch(rf"(?:orig_)?(?:model|option|choice|{_ANSWER})_?(\w{{1,2}})", plain)
    return ended[1] if ended is not None and ended[1] in names else None


def sides_with(row: Mapping[str, Any], names: Sequence[str], value: object) -> set[str]:
    """The sides whose model the value is."""
    columns = {plain_name(key): key for key in row}
    found = set()
    for name in names:
        models = [columns[known] for known in (f"model_{name}", f"model{name}", f"{name}_model") if known in columns]
        if any(row[key] == value for key in models):
            found.add(name)
    return found
