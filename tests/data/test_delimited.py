"""CSV and TSV: what separates, what is quoted, what is broken."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from judgeloop.data.readers import read_prompts, read_ranked, read_supervised
from judgeloop.errors import InputError


@pytest.mark.parametrize("name", ["rows.csv", "rows.txt", "rows.csv.gz"])
def test_quoted_commas_and_line_breaks_are_text(name: str, tmp_path: Path) -> None:
    text = '\ufeff,prompt,response\r\n0,"One, two\r\nor three?","He said ""four""."\r\n\r\n1,Next?,"5,6"\r\n'
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    rows, account = read_supervised(path)
    assert [row.prompt[0]["content"] for row in rows] == ["One, two\r\nor three?", "Next?"]
    assert [row.completion[0]["content"] for row in rows] == ['He said "four".', "5,6"]
    assert [row.source.rpartition(":")[2] for row in rows] == ["2", "5"]  # the line where each begins
    assert account.container.removesuffix(", gzip") == "CSV, 3 columns"
    assert account.unread == {"column 1": 2}


@pytest.mark.parametrize(
    ("mark", "container"),
    [
        (";", "CSV, separated by semicolons, 3 columns"),
        ("\t", "TSV, 3 columns"),
        ("|", "CSV, separated by bars, 3 columns"),
    ],
)
def test_the_separator_is_found_and_said(mark: str, container: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(mark.join(["question", "accepted", "rejected"]) + "\n" + mark.join(["a, b?", "c, d", "e"]) + "\n")
    (row,), account = read_ranked(path)
    assert ([r["text"] for r in row.responses], account.container) == (["c, d", "e"], container)


@pytest.mark.parametrize("mark", [",", ";"])
def test_the_separator_that_excel_writes_above_the_header(mark: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"\ufeffsep={mark}\r\nprompt{mark}response\r\nWhy?{mark}So.\r\n", encoding="utf-8")
    (row,), _ = read_supervised(path)
    assert (row.completion[0]["content"], row.source) == ("So.", "rows.csv:3")


def test_nulls_as_databases_write_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,response,rating\nWhy?,So.,5\nHow?,\\N,\\N\n")
    rows, account = read_supervised(path)
    assert (len(rows), account.dropped) == (1, {"empty response": 1})


def test_a_table_of_one_column(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text('prompt\nWhy?\n"How, then?"\n')
    rows, account = read_prompts(path)
    assert [row.messages[0]["content"] for row in rows] == ["Why?", "How, then?"]
    assert account.container == "CSV, 1 column"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"prompt,response\na,b\nc\n", r":3: 1 cells, the header has 2"),
        (b"prompt,response\na,b,c\n", r":2: 3 cells, the header has 2; quote cells"),
        (b'prompt,response\na,"b\n', r":2: broken CSV"),
        (b"prompt,response\na,\xff\n", r":2: is not UTF-8"),
        ("问题,回答\n".encode("gbk"), ":1: is not UTF-8"),
        (b"prompt,response\n", "has no rows"),
        (b"", ":1: is no header of a table"),
        (b"Rain,Rain\nx,y\n", ":1: is no header of a table"),
    ],
)
def test_a_broken_table_says_where(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_supervised(path)
