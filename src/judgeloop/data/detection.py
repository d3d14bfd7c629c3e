"""The format of a source, known from its first row, and its rows as they pass: each checked to be of that format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from judgeloop.data.columns import Columns, columns_of, given_columns
from judgeloop.data.conversations import NO_ANSWER
from judgeloop.data.doubts import Suspect, doubt_of
from judgeloop.data.intake import Whole
from judgeloop.data.layouts import FORMATS, Format, Rows, check_ratings, first_format, same_format, suspects_in
from judgeloop.data.names import plain_name
from judgeloop.data.provenance import Place
from judgeloop.data.rating_columns import RATINGS, rates
from judgeloop.data.ratings import LABELLED_BAD, RATED_LOW
from judgeloop.data.row_marks import HELD_OUT
from judgeloop.data.sources import Source, open_source
from judgeloop.data.survey import survey_of
from judgeloop.data.within import is_within, lifted
from judgeloop.errors import InputError

Fields = Mapping[str, str | None]
_SHOWN = re.compile(  # columns of what a text is about
    r"(?:image|img|picture|photo|video|audio)s?(?:_?\d+)?(?:_(?:path|url|uri|file|file_?name|id|base64|bytes|data)s?)?"
)
IDS = ("id", "message_tree_id", "question_id")
_OURS = ("id", "kind", "prompt_id", "source", "group", "chosen_id", "rejected_id", "chosen_score", "rejected_score")
BEST = "of each set the best answer"


def checked_rows(
    source: str | Path, allowed: tuple[Format, ...], fields: Fields | None = None
) -> tuple[Format, Iterator[tuple[Place, Columns, dict[str, Any]]]]:
    """The format of a source and its rows, each with its place and its columns, checked as they pass to be of it."""
    layout = layout_of(open_source(source), allowed, fields, learnt=False)
    return layout.form, layout.rows


def detect(source: str | Path, fields: Fields | None = None) -> Format:
    """The format of a source, from its first row. Raises InputError if there is none or it is unknown."""
    opened = open_source(source)
    for place, row in lifted(opened.rows, (fields or {}).values()):
        return first_format(row, columns_of(row, given_columns(row, fields, place)), FORMATS, place)
    raise empty_source(opened)


@dataclass(slots=True)
class Layout:
    """An opened source whose format is known: its rows as they pass, and what is counted of them."""

    form: Format
    columns: Columns
    rows: Iterator[tuple[Place, Columns, dict[str, Any]]]
    whole: Whole
    dropped: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)

    def notes(self, best: bool) -> tuple[str, ...]:
        """What a reader of the account must know besides the counts."""
        by = [self.columns.roles[role] for role in RATINGS if role in self.columns]
        by += [key for _, key in self.columns.ratings.more]
        notes = [f"rated by {', '.join(dict.fromkeys(by))}"] if self.form.rated and by else []
        if best and self.form.rankings and not self.form.assemble:
            notes.append(BEST)
        return tuple(notes)

    def remedy(self, reasons: Collection[str]) -> str:
        """What can be done where no row could serve, for these reasons."""
        columns = self.columns
        if set(reasons) == {NO_ANSWER}:
            return "they can be prompts: name the file in prompts.files"
        if set(reasons) == {"empty prompt"} and "prompt" not in columns and "conversation" not in columns:
            return "no column is known to be the prompt; name it: seed_data.fields: {prompt: ???}"
        if reasons and set(reasons) <= {LABELLED_BAD, RATED_LOW}:
            rated = [role for role in RATINGS if role in columns]
            keys = ", ".join(columns.roles[role] for role in rated)
            return (
                f"bring other data, or leave {keys} unread if it does not rate the answers: "
                f"seed_data.fields: {{{', '.join(f'{role}: null' for role in rated)}}}"
            )
        if HELD_OUT in reasons:
            return "they can be prompts to evaluate on; to train on them: seed_data.fields: {split: null}"
        return "bring other data or other keys"


def layout_of(
    opened: Source, allowed: tuple[Format, ...], fields: Fields | None = None, *, learnt: bool = True
) -> Layout:
    """Detect the format and check every row that passes against it; whether what rates the answers is clear matters
    only if they are `learnt`."""
    rows = lifted(opened.rows, (fields or {}).values())
    first = next(rows, None)
    if first is None:
        raise empty_source(opened)
    place, row = first
    given = given_columns(row, fields, place)
    columns = columns_of(row, given)
    form = first_format(row, columns, allowed, place, learnt=learnt)
    layout = Layout(form, columns, iter(()), survey_of(opened.path, form, columns, row))
    checked = _same(layout, place, chain([first], rows), given, learnt)
    if layout.form.assemble is None:
        layout.rows = checked
        return layout
    plain = ((where, found) for where, _, found in checked)
    layout.rows = ((where, columns, found) for where, found in layout.form.assemble(plain, layout.dropped))
    return layout


def _same(
    layout: Layout, first: Place, rows: Rows, given: Fields | None, learnt: bool
) -> Iterator[tuple[Place, Columns, dict[str, Any]]]:
    """The rows as they pass, each with its columns, counted. Raises InputError if one is of another format than the
    first. Rows with the same fields have the same columns."""
    known: dict[tuple[Any, ...], tuple[Columns, tuple[str, ...], tuple[Suspect, ...]]] = {}
    for place, row in rows:
        signature = (*row, row.get("kind") if isinstance(row.get("kind"), str) else None)
        if signature not in known:
            columns = layout.columns if not known else columns_of(row, given)
            same_format(row, columns, layout.form, first, place)
            if learnt:
                check_ratings(row, columns, layout.form, place)
            read = {
                *columns.of(layout.form.roles).values(),
                *(key for _, key in columns.marks),
                *layout.form.reads,
                *IDS,
                *(key for key in row if shows_media(key)),
                *(_OURS if _is_ours(row) else ()),
            }
            left = tuple(key for key in row if key not in read)
            known[signature] = (
                columns,
                tuple(key for key in left if not is_within(key, read)),
                suspects_in(left, columns, layout.form) if learnt else (),
            )
        columns, unread, suspects = known[signature]
        mixed = next((key for key in columns.ratings.aside if learnt and rates(row[key])), None)
        if mixed is not None:
            raise place.error(
                f"'{mixed}' is {row[mixed]!r:.60}, which may rate the answer, and not so {first.seen_from(place)}",
                "mend the rows, or leave the column unread: seed_data.fields: {label: null, bad_label: null}",
            )
        if (doubt := doubt_of(row, suspects, columns)) is not None:
            raise place.error(*doubt)
        layout.counted["rows"] += 1
        layout.unread.update(key for key in unread if row[key] is not None and row[key] != "")
        yield place, columns, row


@cache
def shows_media(key: str) -> bool:
    """Whether a column is named as one that holds, or names, what a text is about: `image`, `image_path`, `videos`."""
    return _SHOWN.fullmatch(plain_name(key)) is not None


def is_there(value: object) -> bool:
    """Whether a cell holds something; an empty image of a table is an object of nulls."""
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


def _is_ours(row: Mapping[str, Any]) -> bool:
    """Whether one of our own stages wrote the row: its id tells."""
    name = row.get("id")
    return isinstance(name, str) and re.fullmatch(r"(ift|eft|r|p|pair|t|c)-[0-9a-f]{12}", name) is not None


def empty_source(opened: Source) -> InputError:
    return InputError.at(opened.path, None, "has no rows", "add rows or name another file")
