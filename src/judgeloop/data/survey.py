"""What only all rows of a file tell, looked up before they are read: what a number means may hang on the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from judgeloop.data.columns import Columns
from judgeloop.data.fields import items_of, number_of
from judgeloop.data.intake import Whole
from judgeloop.data.layouts import COMPARED, RANKED, Format
from judgeloop.data.marks import is_blank
from judgeloop.data.sources import open_source
from judgeloop.data.within import lifted
from judgeloop.records import MAX_SCORE


def survey_of(path: str, form: Format, columns: Columns, first: Mapping[str, Any]) -> Whole:
    """What the rows of a source tell together. It is read a second time only if its `first` row leaves something open:
    a vote that is a number, responses with scores."""
    vote = columns.roles.get("winner") if form in (COMPARED, RANKED) else None
    if vote is not None and not is_blank(first[vote]) and number_of(first[vote]) is None:
        vote = None
    answers = columns.roles.get("answers") if form is RANKED else None
    if answers is not None and not _scores(first[answers]):
        answers = None
    if vote is None and answers is None:
        return Whole()
    votes: set[float] = set()
    own = True
    for _, row in lifted(open_source(path).rows, (vote, answers)):
        number = number_of(row.get(vote)) if vote is not None else None
        if number is not None:
            votes.add(number)
        if answers is not None:
            own = own and all(0 <= score <= MAX_SCORE for score in _scores(row.get(answers)))
    return Whole(frozenset(votes), own)


def _scores(responses: object) -> list[float]:
    """The scores of a list of responses."""
    listed = items_of(responses)
    items = listed if isinstance(listed, list) else []
    found = (number_of(item.get("score")) for item in items if isinstance(item, Mapping))
    return [number for number in found if number is not None]
