"""What rows are kept in, and every way in which a file can be broken: a count or one clear line, never a loss."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.data.readers import read_prompts, read_ranked, read_supervised
from judgeloop.data.sources import open_source
from judgeloop.errors import InputError

ALPACA: list[dict[str, Any]] = [{"instruction": f"Say {n}.", "input": "", "output": str(n)} for n in range(50)]


def put(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("packed", [False, True])
def test_a_json_array_is_read_like_lines(tmp_path: Path, indent: int | None, packed: bool) -> None:
    data = json.dumps(ALPACA, indent=indent).encode()
    path = put(tmp_path / "alpaca_data.json", gzip.compress(data, mtime=0) if packed else data)
    rows, account = read_supervised(path)
    assert [row.completion[0]["content"] for row in rows] == [str(n) for n in range(50)]
    assert (rows[6].source, account.rows) == ("alpaca_data.json:row 7", 50)
    assert account.container == ("JSON array, gzip" if packed else "JSON array")


def test_an_array_of_long_rows_is_whole(tmp_path: Path) -> None:
    rows = [{"instruction": f"{n} " + "word " * 40_000, "output": 'a "quoted\\" ] ' * 2_000} for n in range(20)]
    found, _ = read_supervised(put(tmp_path / "a.json", json.dumps(rows, indent=1)))
    assert [row.completion[0]["content"] for row in found] == [row["output"] for row in rows]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            json.dumps(ALPACA, indent=1)[:-1],
            r":252: the file ends where a comma or '\]' after row 50 should be; .*cut",
        ),
        (json.dumps(ALPACA, indent=1)[:-20], r":\d+: broken JSON in row 50 .* cut off"),
        (json.dumps(ALPACA)[:1000], r":1: broken JSON in row \d+ .* cut off"),
        ('[{"instruction": "x", "output": "y"}\n{"instruction": "x"}]', r":2: broken JSON \('{' where a comma"),
        (
            '[{"instruction": "x", "output": "y"},\n\n{"instruction": }]',
            r":3: broken JSON in row 2 \(Expecting value\)",
        ),
        ('[{"instruction": "x", "output": "y"},]', r":1: broken JSON in row 2"),
        ('[{"instruction": "x", "output": "y"}]\n[]', r":2: more text after the array's end"),
        ('[{"instruction": "x", "output": "\\ud800"}]', r":1: half of a surrogate pair in row 1"),
        ('[{"instruction": "x", "output": "y"}, "z"]', r":row 2: is not a JSON object"),
        ("[" * 100_000, r":1: row 1 is nested too deeply"),
        ('[{"instruction": ' + "9" * 5000 + "}]", r":1: broken JSON in row 1"),
        (b'[{"instruction": "x", "output": "y"},\n{"output": "\xff"}]', r":2: is not UTF-8"),
        ("[]", r"a\.json: has no rows"),
        ('[{"instruction": "x", "output": "y"}, {"prompt": "x"}]', r":row 2: a row without 'instruction'"),
        (
            '[{"instruction": "x", "output": "y"}, {"messages": []}]',
            r":row 2: mixed formats: chat messages here, Alpaca rows in row 1",
        ),
    ],
)
def test_a_broken_array_says_where(tmp_path: Path, data: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_supervised(put(tmp_path / "a.json", data))


def test_an_array_cut_off_inside_its_gzip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json\.gz: broken gzip"):
        read_supervised(put(tmp_path / "a.json.gz", gzip.compress(json.dumps(ALPACA * 100).encode())[:-30]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has no rows"),
        (b"\n \n\n", "has no rows"),
        (b"\xef\xbb\xbf", "has no rows"),
        (b'{"prompt": "x"}\n{"prompt": "\xe4"}\n', ":2: is not UTF-8"),
        ('{"prompt": "x"}\n'.encode("utf-16"), ":1: is UTF-16; save the file as UTF-8"),
        (b'{"prompt": "x"}\n{"prompt": "a\0b"}\n', ":2: broken JSON"),
        (b'{"prompt": "x"}\n' + b"\0" * 512, ":2: broken JSON"),
        (b'\n{\n  "prompt": "x"\n}\n', ":2: an object over several lines; write one object a line"),
        (b"instruction,output\nx,y,z\n", ":2: 3 cells, the header has 2"),
        (b"one,two\nx,y\n", ":1: holds no JSON objects: it begins 'one,two'; bring JSONL, .* CSV with a header"),
        (b'{\0"\0p\0r\0', ":1: is UTF-16 without its mark"),
        (b"PK\x03\x04...xl/workbook.xml", "is an Excel workbook; save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1...", "is an Excel workbook or another file of Office"),
        (b"SQLite format 3\0...", "is an SQLite database"),
        (b"\xff\xff\xff\xff...", "is an Arrow stream"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b"x" * 257 + b"ustar", "is a tar archive"),
        (b"# seeds\n- question: Why?\n  answer: So.\n", "is YAML"),
        (b"PK\x03\x04rest", "is a zip archive; bring JSONL"),
        (b"\x28\xb5\x2f\xfdrest", "is compressed with zstd"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "is gzipped twice"),
        (gzip.compress(b"PAR1", mtime=0), "is a gzipped Parquet file"),
        (b"\x1f\x8bno gzip at all", "broken gzip"),
        (gzip.compress(b'{"prompt": "a b c"}\n' * 9000, mtime=0)[:-12], "broken gzip"),
    ],
)
def test_a_broken_file_says_what_it_is(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_prompts(put(tmp_path / "rows.jsonl", data))


def test_escaped_nul_is_dropped_and_counted(tmp_path: Path) -> None:
    rows, account = read_prompts(put(tmp_path / "rows.jsonl", '{"prompt": "x"}\n{"prompt": "a\\u0000b"}\n'))
    assert (len(rows), account.dropped) == (1, {"prompt with NUL characters": 1})


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    text = lines([{"prompt": "one"}, {"prompt": "two\nlines"}]).replace("\n", "\r\n")
    rows, account = read_prompts(put(tmp_path / "rows.jsonl", b"\xef\xbb\xbf" + text.encode()))
    assert [row.messages[0]["content"] for row in rows] == ["one", "two\nlines"]
    assert (account.rows, rows[1].source) == (2, "rows.jsonl:2")
    array = b"\xef\xbb\xbf\r\n" + json.dumps(ALPACA, indent=1).replace("\n", "\r\n").encode()
    assert read_supervised(put(tmp_path / "a.json", array))[1].rows == 50


def test_a_line_of_ten_megabytes_is_taken(tmp_path: Path) -> None:
    long = "word " * 2_000_000
    path = put(tmp_path / "rows.jsonl", lines([{"prompt": "x", "response": "y"}, {"prompt": "z", "response": long}]))
    rows, account = read_supervised(path)
    assert (len(rows[1].completion[0]["content"]), account.dropped) == (10_000_000, {})
    array = put(tmp_path / "a.json", json.dumps([{"prompt": "z", "response": long}]))
    assert len(read_supervised(array)[0][0].completion[0]["content"]) == 10_000_000


def test_a_folder_reads_its_data_files_and_names_them(tmp_path: Path) -> None:
    put(tmp_path / "b.jsonl", lines(ALPACA[:3]))
    put(tmp_path / "a.json", json.dumps(ALPACA[3:5]))
    put(tmp_path / "c.jsonl.gz", gzip.compress(lines(ALPACA[5:6]).encode()))
    for name in ("README.md", ".hidden.jsonl", "_draft.jsonl", "dataset_infos.json"):
        put(tmp_path / name, "{}")
    rows, account = read_supervised(tmp_path)
    assert [row.source for row in rows] == [
        "a.json:row 1",
        "a.json:row 2",
        *(f"b.jsonl:{n}" for n in (1, 2, 3)),
        "c.jsonl.gz:1",
    ]
    assert account.container == "folder, 3 files: a.json, b.jsonl, c.jsonl.gz"


def test_mixed_files_of_a_folder_are_both_named(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", lines(ALPACA[:2]))
    put(tmp_path / "b.jsonl", '{"messages": []}\n')
    with pytest.raises(InputError, match=r"b\.jsonl:1: mixed formats: chat messages here, Alpaca rows in a\.jsonl:1"):
        read_supervised(tmp_path)


def test_a_folder_without_data_is_an_error_that_helps(tmp_path: Path) -> None:
    put(tmp_path / "README.md", "x")
    with pytest.raises(InputError, match=r"is a folder without data files; put \.jsonl"):
        read_prompts(tmp_path)
    (tmp_path / "data").mkdir()
    put(tmp_path / "data" / "train.jsonl", lines(ALPACA))
    with pytest.raises(InputError, match="is a folder without data files; name one of its folders: data"):
        read_prompts(tmp_path)


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^rows\.jsonl: cannot be read \(No such file"):
        open_source("rows.jsonl")
    for name in ("HuggingFaceH4/ultrachat_200k", tmp_path / "HuggingFaceH4" / "ultrachat_200k"):
        with pytest.raises(InputError, match="no such file; a data set of the hub is written hf:HuggingFaceH4/ultra"):
            open_source(name)
    with pytest.raises(InputError, match=r"is written hf:org/chat-1\.5"):
        open_source("org/chat-1.5")
    with pytest.raises(InputError, match=r"data/rows\.csv: cannot be read"):
        open_source("data/rows.csv")
    with pytest.raises(InputError, match="File name too long"):
        open_source("x" * 5000)


def test_a_tree_without_ranks_is_counted(tmp_path: Path) -> None:
    def tree(name: str, text: str, *ranks: int | None) -> dict[str, Any]:
        replies = [{"text": f"{text} {n}", "role": "assistant", "rank": rank} for n, rank in enumerate(ranks)]
        return {"message_tree_id": name, "prompt": {"text": text, "role": "prompter", "replies": replies}}

    rows, account = read_ranked(
        put(tmp_path / "trees.jsonl", lines([tree("1", "a", None, None), tree("2", "b", 0, 1), tree("3", "c")]))
    )
    assert [row.messages[0]["content"] for row in rows] == ["b"]
    assert account.dropped == {
        "reply without a rank": 2,
        "set with fewer than two ranked replies": 1,
        "tree without replies": 1,
    }
