from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from judgeloop.data.readers import read_prompt_rows, read_prompts, read_ranked, read_supervised
from judgeloop.errors import InputError

Write = Callable[..., Path]
USER = {"role": "user", "content": "Name a colour."}
ASSISTANT = {"role": "assistant", "content": "Blue."}
RESPONSES = [{"text": "meh", "rank": 1}, {"text": "good", "rank": 0}]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_rows(*rows: object, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        data = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_rows


def test_the_rows_behind_prompts_keep_all_their_fields(write: Write) -> None:
    first = {"prompt": "Name a colour.", "gold": ["blue"], "rule": 3}
    rows = [first, {"prompt": "Name a tree.", "gold": None}, {"prompt": "Name a colour.", "gold": ["red"]}]
    path = write(*rows)
    found = read_prompt_rows(path)
    assert list(found) == [prompt.id for prompt in read_prompts(path)[0]]
    assert [(place.number, row) for place, row in found.values()] == [(1, first), (2, rows[1])]


def test_prompts_keep_their_line_and_duplicates_are_counted(write: Write) -> None:
    rows, account = read_prompts(write({"prompt": "One?"}, "", {"prompt": "One?"}, {"prompt": [USER]}))
    assert [(row.messages, row.source) for row in rows] == [
        ([{"role": "user", "content": "One?"}], "rows.jsonl:1"),
        ([USER], "rows.jsonl:4"),
    ]
    assert (account.detected, account.taken, account.dropped) == ("prompts", 2, {"duplicate": 1})


def test_prompts_of_a_chat_log_end_with_the_last_user_turn(write: Write) -> None:
    rows, account = read_prompts(write({"messages": [USER, ASSISTANT, USER, ASSISTANT]}, {"messages": [ASSISTANT]}))
    assert [row.messages for row in rows] == [[USER, ASSISTANT, USER]]
    assert account.dropped == {"prompt does not end with a user turn": 1}


def test_prompts_leave_responses_aside(write: Write) -> None:
    rows, account = read_prompts(write({"prompt": "One?", "responses": RESPONSES}))
    assert (rows[0].messages[0]["content"], account.detected) == ("One?", "ranked responses")


@pytest.mark.parametrize(
    ("row", "detected"),
    [
        ({"prompt": "Name a colour.", "response": "Blue."}, "prompt and response"),
        ({"prompt": [USER], "completion": [ASSISTANT]}, "prompt and response"),
        ({"messages": [USER, ASSISTANT]}, "chat messages"),
        ({"prompt": "Name a colour.", "responses": [{"text": "Blue.", "rank": 3}]}, "ranked responses"),
    ],
)
def test_supervised_rows_from_every_format_are_the_same(write: Write, row: object, detected: str) -> None:
    (ift,), account = read_supervised(write(row))
    assert (ift.kind, ift.prompt, ift.completion) == ("ift", [USER], [ASSISTANT])
    assert account.detected == detected


def test_supervised_chats_that_cannot_serve_are_counted(write: Write) -> None:
    path = write(
        {"messages": [USER, ASSISTANT]},
        {"messages": [USER]},
        {"messages": [USER, USER, ASSISTANT]},
        {"messages": [ASSISTANT]},
    )
    rows, account = read_supervised(path)
    assert len(rows) == account.taken == 1
    assert account.dropped == {
        "last turn is not the assistant's": 1,
        "prompt does not end with a user turn": 1,
        "user and assistant do not take turns": 1,
    }


def test_ranked_responses_are_ordered_and_ranks_dense(write: Write) -> None:
    path = write(
        {"prompt": "One?", "responses": [{"text": "c", "rank": 9}, {"text": "a", "rank": 2}, {"text": "b", "rank": 2}]},
        {"prompt": "Two?", "responses": [{"text": "low", "score": 1}, {"text": "high", "score": 4.5}]},
        {"prompt": "Three?", "responses": [{"text": "x", "rank": 1}]},
        {"prompt": "Four?", "responses": [{"text": "x", "rank": 1}, {"text": "y", "rank": 1}]},
    )
    rows, account = read_ranked(path)
    assert [(r["text"], r["rank"]) for r in rows[0].responses] == [("a", 0), ("b", 0), ("c", 1)]
    assert rows[1].responses == [{"text": "high", "rank": 0, "score": 4.5}, {"text": "low", "rank": 1, "score": 1}]
    assert account.dropped == {"fewer than two responses": 1, "all responses tie": 1}


def test_gzip_is_read_like_plain_text(write: Write) -> None:
    rows, account = read_ranked(write({"prompt": "One?", "responses": RESPONSES}, name="rows.jsonl.gz"))
    assert (len(rows), account.taken) == (1, 1)


def test_a_gzip_that_was_cut_off_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"prompt": "a b c"}\n' * 1000)[:-12])
    with pytest.raises(InputError, match=r"cut\.jsonl\.gz: broken gzip"):
        read_prompts(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jsonl: cannot be read"):
        read_prompts(tmp_path / "nowhere.jsonl")


PAIR = {"prompt": "One?", "response": "1"}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ('{"prompt": "x", "response"', "broken JSON"),
        ({"response": "1"}, "without 'prompt'"),
        ({"prompt": "x"}, "without 'response'"),
        ({"text": "x"}, "without 'prompt'"),
        ({"prompt": 7, "response": "1"}, "'prompt' is a number"),
        ({"prompt": "x", "response": {}}, "'response' is an object, not text"),
        ({"prompt": ["x"], "response": "1"}, r"'prompt\[0\]' is not a chat message"),
        ({"prompt": [{"role": "robot", "content": "x"}], "response": "1"}, "role"),
        ({"prompt": "x", "completion": [USER]}, "not one assistant message"),
        ({"messages": [USER, ASSISTANT]}, "mixed formats: chat messages here, prompt and response on line 1"),
        ({"prompt": "x", "responses": RESPONSES}, "mixed formats"),
        ('{"prompt": "\\ud800", "response": "1"}', "surrogate"),
        ("[1]", "not a JSON object"),
    ],
)
def test_a_wrong_supervised_line_is_named(write: Write, second: object, message: str) -> None:
    with pytest.raises(InputError, match=rf"rows\.jsonl:2: .*{message}"):
        read_supervised(write(PAIR, second))


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        ({}, "'responses' is an object"),
        ([{"rank": 0}], "no 'text'"),
        ([{"text": "a"}, {"text": "b", "rank": 1}], "no 'rank'"),
        ([{"text": "a", "rank": "0"}], "not a whole number"),
        ([{"text": "a", "rank": True}], "not a whole number"),
        ([{"text": "a", "rank": 0, "score": "good"}], "give a number"),
        ([{"text": "a", "rank": 0, "score": float("nan")}], "give a number"),
        ([{"text": "a", "rank": 0, "score": 1}, {"text": "b", "rank": 1, "score": 2}], "lower score"),
    ],
)
def test_a_wrong_ranked_line_is_named(write: Write, responses: object, message: str) -> None:
    with pytest.raises(InputError, match=rf"rows\.jsonl:1: .*{message}"):
        read_ranked(write({"prompt": "x", "responses": responses}))


def test_a_first_line_of_another_kind_is_refused(write: Write) -> None:
    with pytest.raises(InputError, match="holds prompt and response; here it must be Open Assistant trees, "):
        read_ranked(write(PAIR))
    with pytest.raises(InputError, match=r"no known format \(its keys: text, label\); bring .*docs/data\.md"):
        read_prompts(write({"text": "x", "label": 1}))


def test_a_file_without_usable_rows_is_refused(write: Write) -> None:
    with pytest.raises(InputError, match="has no rows"):
        read_prompts(write("", ""))
    with pytest.raises(InputError, match=r"no usable row \(1 last turn"):
        read_supervised(write({"messages": [USER]}))


def test_a_very_long_line_is_read_whole(write: Write) -> None:
    (row,), _ = read_prompts(write({"prompt": "word " * 2_000_000}))
    assert len(row.messages[0]["content"]) == 10_000_000
