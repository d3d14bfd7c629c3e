"""Lists that a table of text holds as Python and numpy print them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judgeloop.data.fields import decoded
from judgeloop.data.printed_lists import printed_value
from judgeloop.data.readers import read_ranked, read_supervised

LONG = ["a word " * 30, 'it\'s\n"said" } {']


def objects(*values: Any) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("['a' 'b']", ["a", "b"]),
        ("['a'\n 'b']", ["a", "b"]),
        ("['a' None nan]", ["a", None, None]),
        (str(objects(*LONG)), LONG),
        (str(np.array(LONG)), LONG),
        (str(LONG), LONG),
        (
            str(objects({"role": "user", "content": "}\n{"}, {"n": -1})),
            [{"role": "user", "content": "}\n{"}, {"n": -1}],
        ),
        (str(objects({"n": np.array([5.0, -1.0]), "t": np.array(["x"], dtype=object)})), [{"n": [5, -1], "t": ["x"]}]),
        (str([{"n": np.float64(5), "b": np.True_, "t": ("x", 1)}]), [{"n": 5.0, "b": True, "t": ("x", 1)}]),
    ],
)
def test_what_was_printed_is_read_back(printed: str, value: object) -> None:
    assert printed_value(printed) == value
    assert decoded(printed) == value


@pytest.mark.parametrize(
    "text", ["['a' + 'b']", "['a', open('x')]", "['a'.upper()]", "['a' ... 'b']", "['a' if 1 else 'b']", "['a' 'b\n]"]
)
def test_what_nothing_prints_stays_a_text(text: str) -> None:
    assert decoded(text) == text


def saved(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_table_that_was_parquet(tmp_path: Path) -> None:
    arena = {"prompt": objects("Hi.", "Why?"), "response_a": objects("Hello.", "So."), "winner": "model_a"}
    path = saved(tmp_path / "a.csv", [{**arena, "response_b": objects("Ho.", "No.")}])
    (row,), _ = read_supervised(path)
    assert [m["content"] for m in (*row.prompt, *row.completion)] == ["Hi.", "Hello.", "Why?", "So."]
    path = saved(tmp_path / "b.csv", [{"conversations": objects("Why?", "So.")}])
    (row,), _ = read_supervised(path)
    assert [m["content"] for m in (*row.prompt, *row.completion)] == ["Why?", "So."]
    path = saved(
        tmp_path / "c.csv",
        [{"instruction": "Why?", "generations": objects("No.", "So."), "ratings": np.array([1.0, 5.0])}],
    )
    (ranked,), _ = read_ranked(path)
    assert [response["text"] for response in ranked.responses] == ["So.", "No."]
