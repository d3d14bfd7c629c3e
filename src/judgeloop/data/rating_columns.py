"""Which columns rate the one answer of a row, and which may do so though it is not known how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from judgeloop.data.fields import number_of
from judgeloop.data.marks import fault_of, is_blank, label_of, mark_of
from judgeloop.data.names import NAMES, label_named, one_of_several, says_of

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
    """Columns that rate the answer besides those that have the role, or may do so: `more` labels (role, column), any of
    `doubtful`, `unreadable`, whose name promises it and which holds what cannot be read, and labels that hold something
    else in the first row (`aside`)."""

    more: tuple[tuple[str, str], ...] = ()
    doubtful: tuple[str, ...] = ()
    unreadable: str | None = None
    aside: tuple[str, ...] = ()


_FITS = {"label": label_of, "bad_label": fault_of}
NO_RATINGS = RatingColumns()


def rating_columns(
    row: Mapping[str, Any], free: Mapping[str, str], roles: dict[str, str], given: Mapping[str, str | None]
) -> RatingColumns:
    """What of a row may rate its answer besides the roles that are known; a lone score of the answer becomes a role."""
    labels = [(role, free[name]) for role in _FITS if role not in given for name in NAMES[role] if name in free]
    labels = [(role, key) for role, key in labels if key not in roles.values()]
    found = [(role, key) for role, key in labels if _FITS[role](row[key]) is not None]
    for name, key in free.items():  # and those of names that only their parts tell
        if (named := label_named(name)) is None or any(key in (other, *roles.values()) for _, other in labels):
            continue
        role = "bad_label" if named == "bad_label" else "label"
        if role not in given:
            labels.append((role, key))
            found += [(role, key)] if label_by_parts(name, row[key]) is not None else []
    more = tuple(found)
    if "score" in roles or "bad_score" in roles:
        if "score" in roles and "bad_score" not in given:
            roles.pop("bad_score", None)
        return RatingColumns(more)
    labelled = any(role in roles for role in _FITS)
    doubtful: list[str] = []
    if "score" not in given:
        scores = {name: key for name, key in free.items() if says_of(name) and mark_of(row[key]) is not None}
        sense = says_of(next(iter(scores))) if len(scores) == 1 else None
        sort = {"good": "score", "bad": "bad_score"}.get(sense or "")
        if sort is not None and sort not in given:
            roles[sort] = next(iter(scores.values()))
            return RatingColumns(more)
        if not labelled:
            numbered = free.get("label")
            doubtful = [*scores.values()]
            if numbered is not None and "label" not in given and number_of(row[numbered]) is not None:
                doubtful.append(numbered)
    if labelled or "rank" in roles:
        return RatingColumns(more, tuple(doubtful))
    promised = {name for role, names in PROMISE.items() if role not in given for name in names}
    if "score" not in given:
        promised |= {name for name in free if name == "grade" or says_of(name) in ("good", "bad")}
    promised |= {name for name in free if one_of_several(name) in promised}
    unreadable = next(
        (key for name, key in free.items() if name in promised and key not in doubtful and not is_blank(row[key])), None
    )
    return RatingColumns((), tuple(doubtful), unreadable, tuple(key for _, key in labels))


def label_by_parts(name: str, value: object) -> str | None:
    """The role of a label that is known by the parts of its name, if the cell says that the answer is good or bad. What
    a number means in a `grade` is not known."""
    kind = label_named(name)
    if kind == "verdict":
        said = isinstance(value, (bool, str)) and not str(value).strip().isdigit() and label_of(value) is not None
        return "label" if said else None
    return kind if kind is not None and not is_blank(value) and _FITS[kind](value) is not None else None


def rates(value: object) -> bool:
    """Whether a cell of a column that was set aside calls an answer good or bad after all."""
    return isinstance(value, (bool, str)) and label_of(value) is not None
