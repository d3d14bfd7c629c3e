"""Rows of Parquet files and of Arrow tables, as plain values: what JSON would have held."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from judgeloop.data.provenance import Place
from judgeloop.errors import InputError

_BATCH = 1000  # rows in memory at a time
Plain = Callable[[Any], Any]


def parquet_rows(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield (place, row) of a Parquet file. Raises InputError where it is damaged."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield from table_rows(file.iter_batches(_BATCH), path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError.at(path, None, f"broken Parquet ({_first_line(error)})", "copy the file again") from error


def saved_rows(folder: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield (place, row) of a folder that `datasets.save_to_disk` wrote. Raises InputError where it holds more than
    one split, or is damaged."""
    import datasets

    try:
        saved = datasets.load_from_disk(str(folder))
    except Exception as error:  # a foreign library reads foreign files: whatever goes wrong, the folder is at fault
        problem = f"cannot be read by datasets ({_first_line(error)})"
        raise InputError.at(folder, None, problem, "save it again, or bring Parquet") from error
    if isinstance(saved, datasets.DatasetDict):
        if len(saved) != 1:
            names = ", ".join(f"{folder / split}" for split in saved)
            raise InputError.at(folder, None, f"holds {len(saved)} splits", f"name one: {names}")
        (saved,) = saved.values()
    yield from table_rows(saved.with_format("arrow").iter(_BATCH), folder)


def table_rows(batches: Iterator[Any], path: Path | str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield (place, row), rows counted from 1: NaN becomes None, bytes that are UTF-8 become text, JSON columns become
    what they hold. Columns of dates and times are left aside. Raises InputError with the row that is not UTF-8."""
    from pyarrow import types

    number = 0
    for batch in batches:
        names = [field.name for field in batch.schema if not types.is_temporal(field.type)]
        plain = {field.name: found for field in batch.schema if (found := _plain(field.type)) is not None}
        for row in _values(batch.select(names), Place(path, number + 1, "row")):
            number += 1
            yield Place(path, number, "row"), {k: plain[k](v) if k in plain else v for k, v in row.items()}


def _values(batch: Any, first: Place) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except ValueError as error:  # Arrow itself does not look at the bytes of a text
        if batch.num_rows > 1:
            for number in range(batch.num_rows):
                _values(batch.slice(number, 1), Place(first.path, first.number + number, "row"))
        wrong = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"cannot be read ({_first_line(error)})"
        raise first.error(wrong, "mend the row") from error
    return rows


def _plain(kind: Any) -> Plain | None:
    """What turns a value of an Arrow type into a plain one; None where it is plain already."""
    from pyarrow import types

    if getattr(kind, "extension_name", "") == "arrow.json":
        return lambda value: None if value is None else json.loads(value)
    if types.is_floating(kind):
        return lambda value: None if value is None or math.isnan(value) else value
    if types.is_binary(kind) or types.is_large_binary(kind):
        return _text
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _plain(kind.value_type)
        return None if inner is None else lambda value: None if value is None else [inner(item) for item in value]
    if types.is_struct(kind):
        fields = {field.name: found for field in kind if (found := _plain(field.type)) is not None}
        return None if not fields else lambda value: _struct(value, fields)
    return None


def _struct(value: dict[str, Any] | None, fields: dict[str, Plain]) -> dict[str, Any] | None:
    return None if value is None else {k: fields[k](v) if k in fields else v for k, v in value.items()}


def _text(value: bytes | None) -> str | bytes | None:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value  # an image, or another encoding: an error only where text is wanted


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
