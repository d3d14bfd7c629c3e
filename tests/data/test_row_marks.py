"""Columns that speak of a row as a whole, or of its answer in more words than a table of names has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.rated_rows import A, B, U, bot, write
from judgeloop.data.readers import read_both, read_ranked, read_supervised
from judgeloop.errors import InputError

DROPPED = [  # name, what it says of a good row, what of a bad one, and the reason
    ("exclude_from_training", False, True, "row that is marked as left out"),
    ("to_delete", "no", "yes", "row that is marked as left out"),
    ("do_not_train", 0, 1, "row that is marked as left out"),
    ("is_outdated", False, True, "row that is marked as left out"),
    ("ok_to_train", True, False, "row that is marked as left out"),
    ("training_eligible", 1, 0, "row that is marked as left out"),
    ("是否采用", "是", "否", "row that is marked as left out"),
    ("has_errors", False, True, "answer that its label calls bad"),
    ("low_quality", False, True, "answer that its label calls bad"),
    ("is_incomplete", False, True, "answer that its label calls bad"),
    ("blacklisted", 0, 1, "answer that its label calls bad"),
    ("execution_success", True, False, "answer that its label calls bad"),
    ("is_factual", True, False, "answer that its label calls bad"),
    ("pass", True, False, "answer that its label calls bad"),
    ("selected", True, False, "answer that its label calls bad"),
    ("human_label", 1, 0, "answer that its label calls bad"),
    ("审核状态", "通过", "不通过", "answer that its label calls bad"),
    ("quality", "high", "low", "answer that its label calls bad"),
    ("Qualität", "hoch", "niedrig", "answer that its label calls bad"),
    ("csat", 5, 1, "answer rated low"),
]


@pytest.mark.parametrize(("name", "good", "bad", "reason"), DROPPED)
def test_a_row_that_says_it_is_bad_is_dropped(name: str, good: Any, bad: Any, reason: str, tmp_path: Path) -> None:
    rows = [{"prompt": U, "response": A, name: good}, {"prompt": "x?", "response": B, name: bad}]
    (row,), account = read_supervised(write(tmp_path / "r.jsonl", rows))
    assert (row.completion, account.dropped, account.unread) == ([bot()], {reason: 1}, {})


@pytest.mark.parametrize(
    "marks", [{"hidden": False, "is_archived": True}, {"weight": 1, "train": False}, {"use": "yes", "keep": False}]
)
def test_each_of_several_marks_counts(marks: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"prompt": "x?", "response": B, **marks}, {"prompt": U, "response": A}]
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", rows))
    assert row.completion == [bot()]


def test_a_split_that_the_first_row_leaves_blank(tmp_path: Path) -> None:
    rows = [{"prompt": U, "response": A, "split": None}, {"prompt": "x?", "response": B, "split": "test"}]
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", rows))
    assert row.completion == [bot()]


@pytest.mark.parametrize(
    ("name", "bad", "said"),
    [
        ("json_valid", False, "'json_valid' is False"),
        ("severe_toxicity", 0.9, "'severe_toxicity' is 0.9"),
        ("outcome", 0, "'outcome' is 0"),
        ("action", "delete", "'action' is 'delete'"),
        ("faithfulness", 0.05, r"may rate the answers \(faithfulness\)"),
        ("metadata", {"exclude": True}, r"'metadata.exclude' is True: the row .*left_out: metadata.exclude"),
        ("stats", {"correctness": {"n": 1, "avg": 0.0}}, r"'stats.correctness.avg' is 0.0"),
        ("checks", [{"name": "correct", "value": 0}], r"'checks.0.value' is 0"),
    ],
)
def test_what_may_speak_against_an_answer_is_asked(name: str, bad: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_supervised(write(tmp_path / "r.jsonl", [{"prompt": U, "response": A, name: bad}]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_method", "DELETE"), ("num_correct", 0), ("pass_rate", 0.1), ("prompt_is_safe", False), ("style", "low"),
        ("has_code", False), ("is_multi_turn", False), ("difficulty", "hard"), ("json_valid", True), ("state", "CA"),
        ("stats", {"runs": {"avg": 0.0}}),
    ],
)  # fmt: skip
def test_what_says_nothing_of_the_answer_is_left_unread(name: str, value: Any, tmp_path: Path) -> None:
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", [{"prompt": U, "response": A, name: value}]))
    assert row.completion == [bot()]


SETS: dict[str, dict[str, Any]] = {
    "pair": {"chosen": A, "rejected": B},
    "compared": {"response_a": A, "response_b": B, "winner": "a"},
    "ranked": {"responses": [{"text": A, "rank": 0}, {"text": B, "rank": 1}]},
}


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize(
    ("name", "good", "bad", "role"),
    [
        ("is_valid", True, False, "kept"), ("approved", "yes", "no", "kept"), ("flagged", False, True, "left_out"),
        ("deleted", False, True, "left_out"), ("low_quality", 0, 1, "left_out"),
    ],
)  # fmt: skip
def test_answers_whose_row_may_not_be_used(
    kind: str, name: str, good: Any, bad: Any, role: str, tmp_path: Path
) -> None:
    rows = [{"prompt": U, **SETS[kind], name: good}, {"prompt": "x?", **SETS[kind], name: bad}]
    path = write(tmp_path / "r.jsonl", rows)
    with pytest.raises(InputError, match=rf":2: '{name}' is .*fields: \{{{role}: {name}\}}.*\{{{role}: null\}}"):
        read_both(path)
    assert len(read_ranked(path, fields={role: name})[0]) == 1
    assert len(read_ranked(path, fields={role: None})[0]) == 2


@pytest.mark.parametrize("kind", ["compared", "ranked"])
def test_a_word_that_takes_a_row_out(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [{"prompt": U, **SETS[kind], "review_status": "discarded"}])
    with pytest.raises(InputError, match=r"'review_status' is 'discarded': the row .*; remove such rows, or use them"):
        read_both(path)


@pytest.mark.parametrize("name", ["reward", "score", "label", "rating"])
def test_a_column_that_rates_no_row_of_the_file(name: str, tmp_path: Path) -> None:
    rows = [{"prompt": U, "response": A, name: None}, {"prompt": "x?", "response": A, name: None}]
    assert len(read_supervised(write(tmp_path / "r.jsonl", rows))[0]) == 2


def test_rewards_fit_no_scale(tmp_path: Path) -> None:
    rows = [{"prompt": p, "response": A, "instruct_reward": 2.5} for p in (U, "x?")]
    assert len(read_supervised(write(tmp_path / "r.jsonl", rows))[0]) == 2


def test_a_call_in_the_words_of_python(tmp_path: Path) -> None:
    rows = [
        {"prompt": U, "response": 'ask(city="Rome")'},
        {"prompt": "x?", "response": '[ask(city="Rome"), now(utc=1)]'},
    ]
    found, account = read_supervised(write(tmp_path / "r.jsonl", rows))
    assert (len(found), account.dropped) == (1, {"conversation with tool calls": 1})
