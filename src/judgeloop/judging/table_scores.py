"""Scores in Markdown tables: a row for each criterion and one for the total."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from judgeloop.judging.answers import Answer
from judgeloop.judging.json_scores import last_number
from judgeloop.judging.structured_scores import Scale, number_inside

_RULE = re.compile(r"[\s|:-]*-[\s|:-]*")
# Headers of columns: what was given, what could have been, what is no score at all.
_GIVEN = re.compile(
    r"(?:(?:points?|marks?|pts)[ \t]*)?(?:awarded|earned|given|obtained)|points?|marks?|pts", re.IGNORECASE
)
_MOST = re.compile(
    r"(?:max\b|maximum|possible|available|out of|full)[^|]*|(?:points?|marks?)[ \t]+possible|满分", re.IGNORECASE
)
_ASIDE = re.compile(r"weights?|counts?|numbers?|n|#|%|权重|数量", re.IGNORECASE)


def table_spans(text: str) -> list[tuple[int, int]]:
    """Where the Markdown tables of a text (as `plain` gives it) are."""
    spans: list[tuple[int, int]] = []
    place = 0
    for line in text.splitlines(keepends=True):
        if line.lstrip(" \t").startswith("|") and line.count("|") > 1:
            if spans and spans[-1][1] == place:
                spans[-1] = (spans[-1][0], place + len(line))
            else:
                spans.append((place, place + len(line)))
        place += len(line)
    return spans


def table_answers(text: str, spans: Sequence[tuple[int, int]], scale: Scale) -> Iterator[Answer[float] | None]:
    """The score in a table: a row named so ("| Total | 4 |"), or the only row under a column named so. What a column
    says of the most that can be given, or of something else, is no score."""
    for start, end in spans:
        rows = _rows(text, start, end)
        header = rows.pop(0) if len(rows) > 2 and rows[1] == [] else []
        rows = [row for row in rows if row]
        named = [row for row in rows if scale.names(row[0].text)]
        for row in named:
            cells = _score_cells(header, row, scale)
            if cells:
                yield _row_answer(row, cells, _most(header, row), scale)
        alone = next((place for place, cell in enumerate(header) if scale.names(cell.text)), None)
        if not named and alone is not None and len(rows) == 1 and alone < len(rows[0]):
            label, cell = header[alone], rows[0][alone]
            number = number_inside(cell.text, scale)
            if number is not None:
                rank = scale.words.rank(label.text)
                yield Answer(label.start, cell.start + number.end, number.value, number.reason, rank)


def _score_cells(header: Sequence[_Cell], row: Sequence[_Cell], scale: Scale) -> Sequence[_Cell]:
    """The cells of a row that may hold its score: that of the column named so, else all but those that are said to
    hold something else."""
    places = range(1, len(row))
    named = [place for place in places if place < len(header)]
    scored = [place for place in named if scale.names(header[place].text)]
    given = [place for place in named if _GIVEN.fullmatch(header[place].text)]
    if found := scored or given:
        return [row[found[0]]]
    return [
        row[place] for place in places
        if place >= len(header) or not (_MOST.fullmatch(header[place].text) or _ASIDE.fullmatch(header[place].text))
    ]  # fmt: skip


def _most(header: Sequence[_Cell], row: Sequence[_Cell]) -> float | None:
    """What a row says is the most that can be given."""
    found = [last_number(cell.text) for name, cell in zip(header, row, strict=False) if _MOST.fullmatch(name.text)]
    return next((number for number in found if number is not None), None)


@dataclass(frozen=True, slots=True)
class _Cell:
    start: int
    text: str


def _rows(text: str, start: int, end: int) -> list[list[_Cell]]:
    """The cells of each line of a table; none for the line under the header."""
    rows = []
    place = start
    for line in text[start:end].splitlines(keepends=True):
        cells: list[_Cell] = []
        if not _RULE.fullmatch(line):
            offset = line.index("|") + 1
            for piece in line[offset:].rstrip().rstrip("|").split("|"):
                lead = len(piece) - len(piece.lstrip())
                cells.append(_Cell(place + offset + lead, piece.strip()))
                offset += len(piece) + 1
        rows.append(cells)
        place += len(line)
    return rows


def _row_answer(row: Sequence[_Cell], cells: Sequence[_Cell], most: float | None, scale: Scale) -> Answer[float] | None:
    read = [(cell, number) for cell in cells if (number := number_inside(cell.text, scale)) is not None]
    if not read:
        return None
    cell, number = read[0]
    rank, end = scale.words.rank(row[0].text), cell.start + len(cell.text)
    if len(read) > 1:
        return Answer(row[0].start, end, None, "several numbers in the table's row", rank)
    if most is not None and most != scale.high:
        return Answer(row[0].start, end, None, f"score out of {most:g}, not {scale.high}", rank)
    return Answer(row[0].start, end, number.value, number.reason, rank)
