"""Whatever JSON a row holds, every row is taken or dropped with a reason, or one line says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from judgeloop.data.answered import read_answered, read_scored
from judgeloop.data.names import NAMES
from judgeloop.data.provenance import Account
from judgeloop.data.readers import read_both, read_judgements, read_prompts, read_ranked, read_supervised
from judgeloop.errors import InputError

T = TypeVar("T")
reproducible = settings(
    max_examples=200, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
COLUMNS = sorted({name for names in NAMES.values() for name in names} | {"kind", "role", "parent_id", "replies"})
WORDS = st.text(max_size=12) | st.sampled_from(
    ("", "user", "assistant", "system", "model_a", "a", "tie", "1", "Human: hi\n\nAssistant: yo", "[1, 2]", "{'a': 1}",
     "<think>x", "nan", "1e999")
)  # fmt: skip
NUMBERS = st.integers(-3, 6) | st.floats() | st.sampled_from((10**400, -(10**400)))
PLAIN = st.none() | st.booleans() | NUMBERS | WORDS
INNER = ("role", "content", "from", "value", "text", "rank", "score", "type", "label", "tool_calls", "weight")
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(("user", "assistant", "system")) | PLAIN, "content": WORDS | PLAIN}
)
RATED = st.fixed_dictionaries({"text": WORDS | PLAIN, "rank": NUMBERS | PLAIN}, optional={"score": PLAIN})
VALUES = st.recursive(
    PLAIN | st.lists(MESSAGE, max_size=3) | st.lists(RATED, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER) | WORDS, inner, max_size=3),
    max_leaves=6,
)
ROW = st.dictionaries(st.sampled_from(COLUMNS), VALUES, min_size=1, max_size=5)
GOOD = st.sampled_from(
    (
        {"prompt": "a", "response": "b"},
        {"prompt": "a", "responses": [{"text": "x", "rank": 0}, {"text": "y", "rank": 1}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"instruction": "a", "input": "", "output": "b"},
        {"prompt": "a", "response": "b", "score": 3},
    )
)
# A row of some layout with a few of its values replaced, and rows of any columns.
CHANGED = st.builds(
    lambda row, places, values: {
        **row, **{list(row)[place % len(row)]: value for place, value in zip(places, values, strict=False)}
    },
    GOOD, st.lists(st.integers(0, 5), max_size=2), st.lists(VALUES, max_size=2),
)  # fmt: skip
TABLE = st.lists(CHANGED, min_size=1, max_size=4) | st.builds(
    lambda good, rows: [good] * 2 + rows, GOOD, st.lists(CHANGED | ROW, max_size=2)
) | st.lists(ROW, min_size=1, max_size=3)  # fmt: skip
ONE_TO_ONE = ("prompt and response", "Alpaca rows", "ranked responses", "preference pairs")


def tried(read: Callable[[Path], T], source: Path) -> T | None:
    """What is read; None for an InputError of one line that names the file or a config key."""
    try:
        return read(source)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert source.name in said or "seed_data.fields" in said, said
    return None


def whole(read: Callable[[Path], tuple[list[Any], Account]], source: Path, rows: int) -> None:
    """Rows = taken + dropped, or an InputError."""
    result = tried(read, source)
    if result is None:
        return
    found, account = result
    assert account.rows == rows, account
    assert len(found) == account.taken
    accounted = account.taken + sum(account.dropped.values())
    assert accounted >= rows, account  # one row may give several results, or drop several parts
    if account.detected in ONE_TO_ONE and not account.thoughts:
        assert accounted == rows, account


def both(source: Path) -> tuple[list[Any], Account]:
    sets, rows, account = read_both(source)
    return [*sets, *rows], account


READERS: dict[str, Callable[[Path], tuple[list[Any], Account]]] = {
    "supervised": read_supervised,
    "ranked": read_ranked,
    "prompts": read_prompts,
    "both": both,
    "judgements": lambda source: read_judgements(source, lambda text: "Score" in text),
    "all turns": lambda source: read_ranked(source, "all", "en"),
    "fields": lambda source: read_supervised(source, fields={"prompt": "prompt", "response": "text"}),
}


def write(folder: Path, rows: list[Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", READERS)
@reproducible
@given(rows=TABLE)
@example(rows=[{"prompt": "a", "responses": [{"text": "x", "rank": 10**400}, {"text": "y", "rank": 1}]}])
@example(rows=[{"prompt": "a", "response": "b", "score": 10**400}, {"prompt": "a", "response": "c", "score": 1}])
def test_every_row_is_taken_or_dropped(name: str, rows: list[Any], tmp_path: Path) -> None:
    whole(READERS[name], write(tmp_path, rows), len(rows))


@reproducible
@given(rows=TABLE)
@example(rows=[{"prompt": "a", "responses": [{"rank": 0, "score": 10**400}]}])
def test_rows_to_judge_are_all_read_or_refused(rows: list[Any], tmp_path: Path) -> None:
    source = write(tmp_path, rows)
    for read in (read_answered, read_scored):
        found = tried(read, source)
        assert found is None or len(found) == len(rows)


@reproducible
@given(
    value=st.dictionaries(st.sampled_from(("columns", "data", "rows", "prompt", "response", "0", "1")), VALUES) | VALUES
)
@example(value={"columns": ["prompt"], "data": [1, 2]})
@example(value={"columns": [["prompt"]], "data": [[1]]})
@example(value={"columns": ["prompt", "prompt"], "data": [[1, 2]]})
@example(value={"data": [{"row": 1, "row_idx": 1, "truncated_cells": []}]})
def test_a_file_of_any_json_is_read_or_refused(value: Any, tmp_path: Path) -> None:
    source = tmp_path / "rows.json"
    source.write_text(json.dumps(value, indent=1), encoding="utf-8")
    for read in (read_supervised, read_ranked, read_prompts):
        tried(read, source)


@reproducible
@given(data=st.binary(max_size=60) | st.text(alphabet=',;\t|"\n\r promtesn[]{}:1é').map(str.encode))
@example(data=b"prompt,response\r\n\x00,b\r\n")
@example(data=b"\x1f\x8b\x08\x00")
@example(data=b"PAR1PAR1")
@example(data=b"\xef\xbb\xbf[")
@example(data=b'prompt\n"a')
def test_a_file_of_any_bytes_is_read_or_refused(data: bytes, tmp_path: Path) -> None:
    for name in ("rows.jsonl", "rows.csv", "rows.parquet"):
        source = tmp_path / name
        source.write_bytes(data)
        tried(read_prompts, source)
