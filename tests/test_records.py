from __future__ import annotations

import gzip
import json
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgeloop import jsonl
from judgeloop.errors import InputError
from judgeloop.jsonl import RowLog, append_missing, read_objects, read_rows, to_line, write_rows_atomically
from judgeloop.records import Candidate, Judgement, PreferencePair, Prompt, derive_seed, stable_id

FIRST = b'{"id":"a", "text":"ein   Wort"}\n'  # spaces of another writer: bytes that a rewrite would change
SECOND = '{"id":"b","text":"中文 é"}\n'.encode()


@pytest.mark.parametrize(
    "torn",
    [
        b'{"id":"c","te',
        b'{"id":"c","text":"\xe4\xb8',
        b'{"id":"c"}',
        b'{"id":"c"\n',
        b"\n",
        b"\x00\x00\x00\n",
        b'{"a"\n{"b',
    ],
    ids=["in a row", "in a character", "before the newline", "broken row", "empty line", "zeros", "two"],
)
def test_a_torn_end_is_cut_and_finished_bytes_stay(torn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(FIRST + SECOND + torn)
    with RowLog(path) as log:
        assert path.read_bytes() == FIRST + SECOND
        log.append([{"id": "c"}])
    assert path.read_bytes() == FIRST + SECOND + b'{"id":"c"}\n'


def test_a_whole_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(FIRST + SECOND)
    RowLog(path).close()
    assert path.read_bytes() == FIRST + SECOND


@pytest.mark.parametrize("torn", [b"", b'{"id":', b"\xff\n" * 9, b"x" * 70 + b"\n"])
@pytest.mark.parametrize("tail", [1, 8, 30, 64])
def test_the_end_alone_is_read_however_long_it_is(
    tail: int, torn: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "_TAIL", tail)
    path = tmp_path / "rows.jsonl"
    whole = b"".join(b'{"id":"%d","inner":{"id":"x"}}\n' % k for k in range(50))
    path.write_bytes(whole + torn)
    RowLog(path).close()
    assert path.read_bytes() == whole


def test_a_large_file_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    count = 4_000
    line = '{"id":"%d","prompt_id":"p","text":"%s","token_ids":[1,2],"finish_reason":"stop"}\n'
    path.write_text("".join(line % (k, "x" * 4_000) for k in range(count)), encoding="utf-8")  # 16 MB

    def none_owed(*_: object) -> list[Candidate]:
        raise AssertionError("asked")

    tracemalloc.start()
    try:
        append_missing(path, Candidate, range(count), lambda k: [str(k)], none_owed)
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()


def test_only_torn_bytes_leave_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id":')
    RowLog(path).close()
    assert path.read_bytes() == b""


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=6), st.data())
def test_a_cut_at_any_byte_keeps_every_finished_row(rows: list[dict[str, str]], data: st.DataObject) -> None:
    whole = "".join(to_line(row) for row in rows).encode()
    cut = data.draw(st.integers(0, len(whole)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_bytes(whole[:cut])
        RowLog(path).close()
        kept = path.read_bytes()
    assert kept == whole[: whole[:cut].rfind(b"\n") + 1]


def test_a_row_is_on_disk_once_appended(tmp_path: Path) -> None:
    log = RowLog(tmp_path / "new" / "rows.jsonl")
    log.append([{"id": "a"}, {"id": "b"}])
    assert (tmp_path / "new" / "rows.jsonl").read_text() == '{"id":"a"}\n{"id":"b"}\n'
    log.close()


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b'{"a": 1}\n\n{"a": }\n', 3, "broken JSON"),
        (b'{"a": 1}\n{"a": 1', 2, "broken JSON"),
        (b'{"a": 1}\n[1]\n', 2, "is not a JSON object"),
        (b'"text"\n', 1, "is not a JSON object"),
        (b'{"a": 1}\n{"a": "\xff"}\n', 2, "is not UTF-8"),
        (b'{"a": ' + b"[" * 100_000 + b"\n", 1, "nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}\n", 1, "broken JSON"),
        (b'{"a": 1}\n{"a": "\\ud83d"}\n', 2, "surrogate"),
    ],
)
def test_a_bad_line_is_named(content: bytes, line: int, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"rows\.jsonl:{line}: .*{problem}") as caught:
        list(read_objects(path))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_and_a_broken_archive_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl: cannot be read \(No such file"):
        list(read_objects(tmp_path / "none.jsonl"))
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(FIRST * 100)[:-20])
    with pytest.raises(InputError, match="broken gzip"):
        list(read_objects(packed))


def test_what_can_be_read_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}\r\n\n  \n{"a": 2}')
    assert list(read_objects(path)) == [(1, {"a": "😀"}), (4, {"a": 2})]
    packed = tmp_path / "other"
    packed.write_bytes(gzip.compress(FIRST + SECOND))
    assert [number for number, _ in read_objects(packed)] == [1, 2]


def test_a_row_without_a_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"id":"p","messages":[],"source":"s","more":1}\n{"id":"q","messages":[]}\n')
    with pytest.raises(InputError, match=r"prompts\.jsonl:2: a Prompt row without 'source'"):
        read_rows(path, Prompt)
    path.write_text('{"id":"p","messages":[],"source":"s","more":1}\n')
    assert read_rows(path, Prompt) == [Prompt("p", [], "s")]


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [
        Judgement("c.j0", "c", 0, "", 2.5, None, [0.0, 0.5, 0.5, 0.0, 0.0, 0.0], 0.9),
        Judgement("c.j1", "c", 1, "no idea\u2028", None, "no score line"),
    ]
    path = tmp_path / "judgements.jsonl"
    write_rows_atomically(path, rows)
    assert read_rows(path, Judgement) == rows
    lines = path.read_text().split("\n")
    assert json.loads(lines[1]) == {
        "id": "c.j1", "candidate_id": "c", "k": 1, "text": "no idea\u2028", "score": None, "reason": "no score line",
    }  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["judgements.jsonl"]


def test_ids_are_stable_and_tell_contents_apart() -> None:
    prompt = Prompt.of([{"role": "user", "content": "Name a colour."}], "test")
    assert prompt.id == "p-33ea173f5129"  # fixed: ids of published rows must not move
    assert Prompt.of([{"content": "Name a colour.", "role": "user"}], "elsewhere").id == prompt.id
    assert Prompt.of([{"role": "user", "content": "Name a colour"}], "test").id != prompt.id
    assert stable_id("x", "ab", "c") != stable_id("x", "a", "bc")


def test_seeds_depend_on_every_part_and_on_nothing_else() -> None:
    assert derive_seed(0, "judge", "c-1") == 1_648_923_827
    parts = [
        (run, purpose, row, k) for run in range(3) for purpose in ("a", "b") for row in ("x", "y") for k in range(3)
    ]
    seeds = {derive_seed(*p) for p in parts}
    assert len(seeds) == len(parts)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_candidate_without_optional_fields_reads_back(tmp_path: Path) -> None:
    row = Candidate("c", "p", "text", [1, 2], "stop")
    write_rows_atomically(tmp_path / "c.jsonl", [row])
    assert read_rows(tmp_path / "c.jsonl", Candidate) == [row]


def test_a_row_without_one_of_its_fields_is_named_whatever_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"id": "a", "prompt_id": "p", "prompt": [], "chosen": [], "rejected": []}\n')
    with pytest.raises(InputError, match=r"pairs\.jsonl:1: a PreferencePair row without 'chosen_id'; restore the file"):
        read_rows(path, PreferencePair)


def test_a_field_that_is_there_twice_is_looked_for_in_what_a_user_brings(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1, "a": 2}\n', encoding="utf-8")
    assert list(read_objects(path)) == [(1, {"a": 2})]
    with pytest.raises(InputError, match=":1: has the field 'a' twice, with different values"):
        list(read_objects(path, brought=True))
