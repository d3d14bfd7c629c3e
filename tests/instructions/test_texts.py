from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from judgeloop.errors import InputError
from judgeloop.instructions.backtranslation.texts import Reading, read_texts


def read(*paths: Path, key: str = "text") -> tuple[list[tuple[str, str, int | None]], Reading]:
    reading = Reading()
    found = [(d.form, d.place, d.line) for d in read_texts([str(path) for path in paths], key, reading)]
    return found, reading


def test_a_folder_is_read_in_order_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / "z.txt").write_text("last")
    (folder / "deep" / "a.md").write_text("# first")
    (folder / "b.HTML").write_text("<p>second</p>")
    (folder / "empty.txt").write_text(" \n")
    (folder / "image.png").write_bytes(b"\x89PNG")
    (folder / "latin.txt").write_bytes("größer".encode("latin-1"))
    (folder / ".hidden" / "secret.txt").write_text("hidden")
    found, reading = read(folder)
    assert found == [
        ("HTML", "texts/b.HTML", None),
        ("Markdown", "texts/deep/a.md", None),
        ("plain text", "texts/z.txt", None),
    ]
    assert dict(reading.left_out) == {
        "hidden file": 1, "empty text": 1, "another kind of file": 1, "file is not text in its encoding": 1
    }  # fmt: skip
    assert reading.named["file is not text in its encoding"] == ["texts/latin.txt"]
    assert dict(reading.documents) == {"HTML": 1, "Markdown": 1, "plain text": 1}


@pytest.mark.parametrize("packed", [False, True])
def test_jsonl_rows_keep_their_line_and_pages_are_known_by_their_beginning(tmp_path: Path, packed: bool) -> None:
    rows = [{"body": "plain"}, {"body": "<!DOCTYPE html><p>page</p>"}, {"body": ""}, {"body": None}]
    path = tmp_path / ("rows.jsonl.gz" if packed else "rows.jsonl")
    data = "\n".join(json.dumps(row) for row in rows).encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    found, reading = read(path, key="body")
    assert found == [("plain text", path.name, 1), ("HTML", path.name, 2)]
    assert dict(reading.left_out) == {"empty text": 2}
    assert reading.named["empty text"] == [f"{path.name}:3", f"{path.name}:4"]


def test_parquet_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"text": ["one", None, "three"], "n": [1, 2, 3]}), path)
    found, reading = read(path)
    assert found == [("plain text", "rows.parquet", 1), ("plain text", "rows.parquet", 3)]
    assert reading.left_out["empty text"] == 1
    with pytest.raises(InputError, match=r"rows\.parquet: no column 'body' \(its columns: text, n\); name one in"):
        read(path, key="body")
    with pytest.raises(InputError, match=r"rows\.parquet:1: 'n' is not text"):
        read(path, key="n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("broken.parquet", b"not parquet", r"broken\.parquet: cannot be read as Parquet"),
        ("bad.jsonl", b'{"text": "x"}\n{"body": "y"}\n', r"bad\.jsonl:2: a row without 'text'; name its key in"),
        ("bad.jsonl", b'{"text": 5}\n', r"bad\.jsonl:1: 'text' is not text"),
        ("bad.jsonl", b'{"text": \n', r"bad\.jsonl:1: broken JSON"),
        ("bad.jsonl", b'\xff\xfe{"text": 1}\n', r"bad\.jsonl:1: is not UTF-8"),
        ("latin.txt", "größer".encode("latin-1"), r"latin\.txt: is not UTF-8; save it as UTF-8"),
        ("page.pdf", b"%PDF", r"page\.pdf: is no kind of file that texts are read from"),
    ],
)
def test_a_named_file_must_be_readable(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / name)


def test_a_path_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing: no such file or folder; check backtranslation\.texts"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<meta charset="iso-8859-1">', "latin-1"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=gb2312">', "gb2312"),
        ('<meta charset="no-such-charset">', "utf-8"),
        ("", "utf-8"),
        ("", "utf-16"),
    ],
)
def test_a_page_says_its_encoding(tmp_path: Path, head: str, encoding: str) -> None:
    word = "größer" if encoding == "latin-1" else "中文"
    path = tmp_path / "page.html"
    path.write_bytes(f"<html><head>{head}</head><p>{word}</p>\r\n</html>".encode(encoding))
    (document,) = read_texts([str(path)], "text", Reading())
    assert word in document.text
    assert "\r" not in document.text


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfHello")
    (document,) = read_texts([str(path)], "text", Reading())
    assert document.text == "Hello"
