"""Which columns rate the one answer of a row, and which may do so though it is not known how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from judgeloop.data.fields import number_of
from judgeloop.data.marks import is_blank, label_of, mark_of
from judgeloop.data.names import NAMES, says_of

RATINGS = ("score", "bad_score", "rank", "label", "bad_label")
_STRICT = ("kto_tag", "desirable", "thumbs_up", "upvoted", "liked", "thumbs_down", "downvoted", "disliked", "toxicity",
           "toxic", "flagged")  # fmt: skip
PROMISE = {  # names that promise a rating whatever they hold; a `label` or a `feedback` may be of anything
    "score": (*NAMES["score"], "ratings", "scores", "rewards"),
    "rank": NAMES["rank"],
    "label": tuple(name for name in NAMES["label"] if name.startswith("is_") or name in _STRICT),
    "bad_label": tuple(name for name in NAMES["bad_label"] if name.startswith("is_") or name in _STRICT),
}


class RatingColumns(NamedTuple):
    """Columns that may rate the answer: any of `doubtful` may, `unreadable` has a name that promises it and holds what
    cannot be read, and `aside` are labels that hold something else in the first row."""

    doubtful: tuple[str, ...] = ()
    unreadable: str | None = None
    aside: tuple[str, ...] = ()


def rating_columns(
    row: Mapping[str, Any], free: Mapping[str, str], roles: dict[str, str], given: Mapping[str, str | None]
) -> RatingColumns:
    """What of a row may rate its answer besides the roles that are known; a lone score of the answer becomes a role."""
    if "score" in roles or "bad_score" in roles:
        if "score" in roles and "bad_score" not in given:
            roles.pop("bad_score", None)
        return RatingColumns()
    labelled = any(role in roles for role in ("label", "bad_label"))
    doubtful: list[str] = []
    if "score" not in given:
        scores = {name: key for name, key in free.items() if says_of(name) and mark_of(row[key]) is not None}
        roles_of = {"good": "score", "bad": "bad_score"}
        if len(scores) == 1 and (role := roles_of.get(says_of(next(iter(scores))) or "")) and role not in given:
            roles[role] = next(iter(scores.values()))
            return RatingColumns()
        if not labelled:
            numbered = free.get("label")
            doubtful = [*scores.values()]
            if numbered is not None and "label" not in given and number_of(row[numbered]) is not None:
                doubtful.append(numbered)
    if labelled or "rank" in roles:
        return RatingColumns(tuple(doubtful))
    promised = {name for role, names in PROMISE.items() if role not in given for name in names}
    if "score" not in given:
        promised |= {name for name in free if says_of(name) in ("good", "bad")}
    unreadable = next(
        (key for name, key in free.items() if name in promised and key not in doubtful and not is_blank(row[key])), None
    )
    aside = tuple(
        free[name] for role in ("label", "bad_label") if role not in given for name in NAMES[role] if name in free
    )
    return RatingColumns(tuple(doubtful), unreadable, aside)


def rates(value: object) -> bool:
    """Whether a cell of a column that was set aside calls an answer good or bad after all."""
    return isinstance(value, (bool, str)) and label_of(value) is not None
