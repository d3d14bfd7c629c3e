"""Rows of CSV and TSV files: a header, then a row for each record; commas and line breaks in quotes are text."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from judgeloop.data.names import NAMES, plain_name
from judgeloop.data.provenance import Place
from judgeloop.errors import InputError
from judgeloop.jsonl import raw_lines

ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_SEP = re.compile(r"sep=.?")
_CELL = re.compile(r"[\w .:/()#%?+-]{0,80}")
_KNOWN = {name for names in NAMES.values() for name in names}


def separator_of(line: str) -> str | None:
    """What separates the cells of a header; None if the line can be no header.

    A header has at least two cells, all different, that look like names; only the first may be empty, as pandas leaves
    it above its index.
    """
    found = {}
    for mark in _SEPARATORS:
        try:
            cells = next(csv.reader([line], delimiter=mark), [])
        except csv.Error:
            continue
        names = [cell.strip() for cell in cells]
        if len(names) > 1 and len(set(names)) == len(names) and all(names[1:]) and all(map(_CELL.fullmatch, names)):
            found[mark] = len(names)
    return max(found, key=lambda mark: found[mark]) if found else None


def looks_delimited(line: str) -> bool:
    """Whether a line is a header that has one of the names we know: what tells CSV in a file of another name."""
    mark = separator_of(line)
    return mark is not None and any(plain_name(cell) in _KNOWN for cell in line.strip().split(mark))


def delimited_rows(path: Path, head: str) -> tuple[str, Iterator[tuple[Place, dict[str, Any]]]]:
    """What was detected, in words, and the rows, each at the line where it begins. `head` is the beginning of the file.

    Raises InputError if the first line is no header.
    """
    lines = head.splitlines()
    if lines and _SEP.fullmatch(lines[0]):  # as Excel writes it above the header
        lines = lines[1:]
    line = lines[0] if lines else ""
    if "\ufffd" in line:
        raise InputError.at(path, 1, "is not UTF-8", "save the file as UTF-8")
    mark = separator_of(line) or ("," if plain_name(line.strip().strip('"')) in _KNOWN else None)
    if mark is None:
        if (twice := _repeated(line)) is not None:
            raise InputError.at(path, 1, f"two columns are called '{twice}'", "give each a name of its own")
        raise InputError.at(
            path,
            1,
            f"is no header of a table ({line!r:.60})",
            "write the columns' names there, separated by commas or tabs",
        )
    columns = len(next(csv.reader([line], delimiter=mark)))
    name = "TSV" if mark == "\t" else "CSV"
    by = "" if mark in ",\t" else f", separated by {_SEPARATORS[mark]}s"
    return f"{name}{by}, {columns} column{'' if columns == 1 else 's'}", _rows(path, mark)


def _repeated(line: str) -> str | None:
    """The first name that a header of columns we know has twice."""
    for mark in _SEPARATORS:
        names = [cell.strip() for cell in line.split(mark)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice and any(plain_name(name) in _KNOWN for name in names):
            return twice
    return None


def _rows(path: Path, mark: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(_text(path), delimiter=mark, strict=True)
    header: Sequence[str] | None = None
    end = 0
    while True:
        place = Place(path, end + 1)
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise place.error(f"broken CSV ({error})", "mend the quotes of the row") from error
        end = reader.line_num
        if cells is None:
            return
        if place.number == 1 and cells and _SEP.fullmatch(mark.join(cells).strip("\ufeff")):
            continue
        if header is None and cells:
            header = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, 1)]
        elif header is not None and cells and len(cells) != len(header):
            raise place.error(
                f"{len(cells)} cells, the header has {len(header)}", "quote cells that hold the separator"
            )
        elif header is not None and [cell.strip() for cell in cells] == header:
            raise place.error("repeats the header", "remove the line; it comes of files put one after another")
        elif header is not None and cells:
            yield place, dict(zip(header, cells, strict=True))


def _text(path: Path) -> Iterator[str]:
    for number, raw in enumerate(raw_lines(path), 1):
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError.at(path, number, "is not UTF-8", "save the file as UTF-8") from error
