"""Rows, pairs and turns that say of themselves that they are not to be used, and files put one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.rated_rows import A, B, U, bot, user, write
from judgeloop.data.readers import read_ranked, read_supervised
from judgeloop.errors import InputError


@pytest.mark.parametrize(
    ("mark", "out", "used"),
    [
        ("hidden", True, False), ("exclude", "TRUE", "FALSE"), ("is_archived", 1, 0), ("was_cancelled", True, None),
        ("skip", "yes", "no"), ("keep", False, True), ("included", "no", "yes"), ("use_for_training", 0, 1),
        ("is_duplicate", True, False), ("use", "no", "yes"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["answer", "pair"])
def test_rows_that_are_left_out(mark: str, out: Any, used: Any, kind: str, tmp_path: Path) -> None:
    said = {"response": A} if kind == "answer" else {"chosen": A, "rejected": B}
    rows = [{"prompt": U, **said, mark: used}, {"prompt": "x?", **said, mark: out}]
    path = write(tmp_path / "r.jsonl", rows)
    found, account = read_supervised(path) if kind == "answer" else read_ranked(path)
    assert (len(found), account.dropped, account.unread) == (1, {"row that is marked as left out": 1}, {})
    _, account = read_supervised(path, fields={"left_out": None, "kept": None})
    assert account.taken == 2


def test_a_text_is_no_mark(tmp_path: Path) -> None:
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", [{"prompt": U, "response": A, "hidden": "a twist"}]))
    assert row.completion[0]["content"] == A


def test_pairs_that_are_called_a_tie(tmp_path: Path) -> None:
    rows = [{"prompt": p, "chosen": A, "rejected": B, "status": s} for p, s in ((U, "unchanged"), ("x?", "tie"))]
    sets, account = read_ranked(write(tmp_path / "r.jsonl", rows))
    assert (len(sets), account.dropped) == (1, {"chosen and rejected are called a tie": 1})


@pytest.mark.parametrize("name", ["level", "status", "error_message", "status_message"])
def test_an_answer_that_failed(name: str, tmp_path: Path) -> None:
    rows = [{"prompt": U, "response": A, name: None}, {"prompt": "x?", "response": "Sorry", name: "ERROR"}]
    with pytest.raises(InputError, match=f":2: '{name}' is 'ERROR'"):
        read_supervised(write(tmp_path / "r.jsonl", rows))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"train_detail": [{"begin_offset": 0, "train": False}, {"begin_offset": 9, "train": True}]}, "has weight 0"),
        ({"metadata": {"rating": -1}}, None), ({"info": {"vote": "down"}}, "its label calls bad"),
    ],
)  # fmt: skip
def test_what_the_objects_of_a_turn_say(fields: dict[str, Any], reason: str | None, tmp_path: Path) -> None:
    rows = [{"messages": [user(), bot(), user("More?"), {**bot(B), **fields}]},
            {"messages": [user(), {**bot(), **({"metadata": {"rating": 1}} if reason is None else {})}]}]  # fmt: skip
    (row,), account = read_supervised(write(tmp_path / "r.jsonl", rows))
    assert (row.completion[0]["content"], sum(account.dropped.values())) == (A, 1)
    assert reason is None or next(iter(account.dropped)).endswith(reason)


def test_a_word_that_condemns_a_turn_is_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [{"messages": [user(), {**bot(B), "review": "rejected"}]}])
    with pytest.raises(InputError, match="a turn's 'review' is 'rejected'"):
        read_supervised(path)


def test_a_header_that_comes_twice(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("prompt, response\nx?,a\nprompt,response\ny?,b\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"r\.csv:3: repeats the header; remove the line"):
        read_supervised(path)


@pytest.mark.parametrize("names", [("rating_1", "rating_2"), ("score_1", "score_2")])
def test_one_of_several_ratings_is_asked(names: tuple[str, str], tmp_path: Path) -> None:
    row = {"prompt": U, "response": B, **dict.fromkeys(names, 1)}
    with pytest.raises(InputError, match=rf"may rate the answers \({names[0]}, {names[1]}\)"):
        read_supervised(write(tmp_path / "r.jsonl", [row]))


def test_ratings_that_argilla_lists_are_asked(tmp_path: Path) -> None:
    row = {"prompt": U, "response": B, "rating.responses": [1, 2], "rating.suggestion": None,
           "rating.suggestion.score": None}  # fmt: skip
    with pytest.raises(InputError, match=r"'rating.responses' may rate the answer, but is \[1, 2\]"):
        read_supervised(write(tmp_path / "r.jsonl", [row]))


def test_where_all_are_rated_low_the_column_is_named(tmp_path: Path) -> None:
    row = {"prompt": U, "response": A, "deepseek_grade": "No"}
    with pytest.raises(InputError, match=r"leave deepseek_grade unread .*fields: \{label: null\}"):
        read_supervised(write(tmp_path / "r.jsonl", [row]))
