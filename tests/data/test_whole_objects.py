"""Files that are one JSON object, and what is a row all the same."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.data.readers import read_ranked, read_supervised
from judgeloop.data.sources import open_source
from judgeloop.errors import InputError

ROWS = [{"prompt": f"Say {n}.", "response": f"{n}!"} for n in range(12)]
COLUMNS = {name: [row[name] for row in ROWS] for name in ("prompt", "response")}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    ("value", "container"),
    [
        (COLUMNS, "JSON by columns"),
        ({name: {str(n): v for n, v in enumerate(column)} for name, column in COLUMNS.items()}, "JSON by columns"),
        ({"columns": list(COLUMNS), "index": [], "data": [list(row.values()) for row in ROWS]}, "JSON, split table"),
        ({str(n): row for n, row in enumerate(ROWS)}, "JSON by row numbers"),
        ({"version": 2, "data": ROWS}, "JSON, rows under 'data'"),
        ({"results": ROWS, "metadata": {"n": 12}}, "JSON, rows under 'results'"),
        ({f"example {n}": row for n, row in enumerate(ROWS)}, "JSON by row names"),
    ],
)
def test_tables(value: Any, container: str, indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(gzip.compress(json.dumps(value, indent=indent).encode()))
    rows, account = read_supervised(path)
    assert [row.completion[0]["content"] for row in rows] == [row["response"] for row in ROWS]
    assert (account.container, rows[3].source) == (f"{container}, gzip", "table.json:row 4")


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"conversations": ["a", "b"]},
    ],
)
def test_one_row_on_one_line_stays_a_row(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "row.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    (made,), account = read_supervised(path)
    assert (made.prompt[0]["content"], made.completion[0]["content"], account.container) == ("a", "b", "JSONL")


def test_conversations_that_are_rows(tmp_path: Path) -> None:
    talks = [{"messages": [{"role": "user", "content": n}, {"role": "assistant", "content": "b"}]} for n in "xy"]
    path = tmp_path / "export.json"
    path.write_text(json.dumps({"conversations": talks, "version": "1"}, indent=1), encoding="utf-8")
    rows, account = read_supervised(path)
    assert ([row.prompt[0]["content"] for row in rows], account.container) == (
        ["x", "y"], "JSON, rows under 'conversations'"
    )  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        {"context": "a passage that is asked about", "qas": [{"question": "q", "answer": "a"}]},
        {"prompt": "Which of them?", "examples_of_it": [{"question": "q", "answer": "a"}]},
        {"passage": "x" * 100, "qas": [{"question": "q", "answer": "a"}]},
        {"conversations": [{"human": "a", "assistant": "b"}, {"human": "c", "assistant": "d"}]},
        {"chosen": {"prompt": "a", "response": "b"}, "rejected": {"prompt": "a", "response": "c"}},
    ],
)
def test_what_may_be_a_row_is_no_list_of_rows(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "row.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    assert open_source(path).container == "JSONL"


def test_sides_of_one_row_are_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "row.jsonl"
    sides = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": text}] for text in ("b", "c")]
    path.write_text(json.dumps({"chosen": sides[0], "rejected": sides[1]}), encoding="utf-8")
    (ranked,), _ = read_ranked(path)
    assert [response["text"] for response in ranked.responses] == ["b", "c"]


def test_splits_in_one_object_are_named(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"train": ROWS, "test": ROWS}), encoding="utf-8")
    with pytest.raises(InputError, match=r"holds 2 splits \(train, test\); write the one .* such as train\.json"):
        read_supervised(path)


def test_columns_of_different_lengths_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"prompt": ["a", "b"], "response": ["c"]}), encoding="utf-8")
    with pytest.raises(InputError, match=r"table\.json:1: "):
        read_supervised(path)
