"""Files that are one JSON object: a table by columns, as pandas writes it, or rows under one key.

{"col": {"0": …}}, {"col": [ … ]}, {"columns": [ … ], "data": [[ … ]]}, {"0": {row}, …}, {"data": [{row}, …]}. Such
a file is held in memory whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from judgeloop.data.columns import columns_of
from judgeloop.data.messages import is_message
from judgeloop.data.names import NAMES, plain_name
from judgeloop.data.provenance import Place
from judgeloop.errors import InputError
from judgeloop.jsonl import raw_lines

_VIEWED = {"row_idx", "row", "truncated_cells"}  # what the hub's viewer puts around a row
_SPLIT = re.compile(r"(?:train|test|valid|validation|val|dev|eval)(?:[_-].*)?")
_SHORT = 80
_COLUMNS = {name for names in NAMES.values() for name in names}
_WRAPPERS = ("data", "rows", "train", "examples", "records", "dataset", "items")


def read_object(path: Path) -> dict[str, Any] | None:
    """The one object that the file is; None if it is something else (rows on lines, broken JSON)."""
    lines = raw_lines(path)
    first = next((line for line in lines if line.strip()), b"")
    opened = first.strip() in (b"{", b"\xef\xbb\xbf{") or not first.rstrip().endswith(b"}")
    if not opened and any(line.strip() for line in lines):
        return None
    try:
        value = json.loads(b"".join(raw_lines(path)).decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def rows_of_object(value: Mapping[str, Any], path: Path) -> tuple[str, list[dict[str, Any]]] | None:
    """What kind of table an object is, in words, and its rows; None if it is a row itself.

    Lists of chat messages are a conversation of one row, never a column. Raises InputError for an object of splits.
    """
    if not value:
        return None
    splits = [name for name, rows in value.items() if _SPLIT.fullmatch(name) and _are_rows(rows)]
    if len(splits) > 1:
        names = ", ".join(splits)
        remedy = f"write the one that is meant to a file of its own, such as {splits[0]}.json"
        raise InputError.at(path, None, f"holds {len(splits)} splits ({names})", remedy)
    for name in (*_WRAPPERS, *(("instances",) if set(value) == {"type", "instances"} else ())):  # LMFlow
        rows = value.get(name)
        if not _are_rows(rows):
            continue
        viewed = all(set(row) == _VIEWED and isinstance(row["row"], dict) for row in rows)
        if viewed or all(not isinstance(other, (list, dict)) for key, other in value.items() if key != name):
            return f"JSON, rows under '{name}'", [row["row"] for row in rows] if viewed else rows
    table = _split_table(value)
    if table is not None:
        return "JSON, split table", table
    columns = list(value.values())
    if all(isinstance(column, dict) and column and all(key.isdigit() for key in column) for column in columns):
        order = list(columns[0])
        if all(set(column) == set(order) for column in columns):
            return "JSON by columns", [{name: column[key] for name, column in value.items()} for key in order]
    listed = all(isinstance(column, list) and column and not any(map(is_message, column)) for column in columns)
    if listed and len(value) > 1 and len({len(column) for column in columns}) == 1:
        return "JSON by columns", [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    if all(key.isdigit() for key in value) and all(isinstance(row, dict) for row in columns):
        return "JSON by row numbers", columns
    if len(value) > 1 and _are_named_rows(value):
        return "JSON by row names", columns
    under = _rows_under(value)
    return None if under is None else (f"JSON, rows under '{under}'", value[under])


def _are_named_rows(value: Mapping[str, Any]) -> bool:
    """Whether an object holds rows under names of their own, alike in their columns; none is a column's name."""
    rows = list(value.values())
    named = any(_SPLIT.fullmatch(name) or plain_name(name) in _COLUMNS for name in value)
    alike = all(isinstance(row, dict) for row in rows) and len({tuple(row) for row in rows}) == 1
    return alike and not named and _asks(rows[0])


def _rows_under(value: Mapping[str, Any]) -> str | None:
    """The one key of any name that holds a list of rows, beside what only tells of the file; None if there is none, or
    if the object may be a row itself."""
    found = [name for name, rows in value.items() if _are_rows(rows)]
    if len(found) != 1 or not _asks(value[found[0]][0], talk=plain_name(found[0]) in NAMES["conversation"]):
        return None
    rest = {name: held for name, held in value.items() if name != found[0]}
    of_a_row = {name for role in ("prompt", "input", "system", "history") for name in NAMES[role]}
    if any(plain_name(name) in of_a_row or not _tells(held) for name, held in rest.items()):
        return None
    return found[0]


def _asks(row: dict[str, Any], talk: bool = False) -> bool:
    """Whether an object is a row by what its columns say. In a list called a conversation (`talk`) a question and its
    answer are turns."""
    columns = columns_of(row)
    return "conversation" in columns or ("prompt" in columns and not talk)


def _tells(held: object) -> bool:
    """Whether a value can be of the whole file: a number, a short text, an object of them."""
    if isinstance(held, dict):
        return all(_tells(part) and not isinstance(part, dict) for part in held.values())
    return not isinstance(held, list) and not (isinstance(held, str) and len(held) > _SHORT)


def _are_rows(value: object) -> TypeGuard[list[dict[str, Any]]]:
    """A list of objects that are no chat messages."""
    return isinstance(value, list) and bool(value) and all(isinstance(r, dict) and not is_message(r) for r in value)


def _split_table(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of {"columns": [name, …], "data": [[cell, …], …]}; None if it is none."""
    names, cells = value.get("columns"), value.get("data")
    if not set(value) <= {"columns", "data", "index"} or not isinstance(names, list) or not isinstance(cells, list):
        return None
    named = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    if not named or not all(isinstance(row, list) and len(row) == len(names) for row in cells):
        return None
    return [dict(zip(names, row, strict=True)) for row in cells]


def object_rows(path: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The rows with their places."""
    for number, row in enumerate(rows, 1):
        yield Place(path, number, "row"), row
