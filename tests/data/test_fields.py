"""Own names for columns, thoughts, and what the account says of columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.data.fields import decoded
from judgeloop.data.readers import read_both, read_ranked, read_supervised
from judgeloop.data.thoughts import split_thought
from judgeloop.data.transcripts import split_transcript
from judgeloop.errors import InputError


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_own_names_go_before_what_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"frage": "a?", "gut": "b", "schlecht": "c", "prompt": "no"})
    (row,), account = read_ranked(path, fields={"prompt": "frage", "chosen": "gut", "rejected": "schlecht"})
    assert (row.messages[0]["content"], [r["text"] for r in row.responses]) == ("a?", ["b", "c"])
    assert account.columns == {"prompt": "frage", "chosen": "gut", "rejected": "schlecht"}
    assert account.unread == {"prompt": 1}


def test_a_column_that_rates_nothing_is_left_aside(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.jsonl",
        {"prompt": "a?", "response": "b", "score": 1},
        {"prompt": "c?", "response": "d", "score": 5},
    )
    assert len(read_supervised(path)[0]) == 1
    rows, account = read_supervised(path, fields={"score": None})
    assert (len(rows), account.detected, account.unread) == (2, "prompt and response", {"score": 2})


def test_own_names_are_for_the_files_that_have_them(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"prompt": "a?", "response": "b"})
    assert len(read_supervised(path, fields={"prompt": "frage", "response": "antwort"})[0]) == 1
    with pytest.raises(InputError, match=r"no field 'antwort' \(its keys: prompt, response\); mend seed_data.fields"):
        read_supervised(path, fields={"prompt": "prompt", "response": "antwort"})
    with pytest.raises(InputError, match="promt is no role of a column; the roles are prompt, input"):
        read_supervised(path, fields={"promt": "prompt"})


def test_columns_left_unread_are_named_with_their_rows(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "response": "b", "custom": {"note": 1} if n else None, "tag": "x"} for n in range(3)]
    path = write(tmp_path / "r.jsonl", *rows)
    _, account = read_supervised(path)
    assert account.unread == {"custom": 2, "tag": 3}
    assert account.sentence(path).endswith("3 taken; columns not read: tag (3 rows), custom (2 rows)")


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("<think>\nHm.\n</think>\n\nYes.", "Yes.", "Hm."),
        ("Hm.\n</think>\n\nYes.", "Yes.", "Hm."),
        ("<think>a</think><think>b</think>Yes.", "Yes.", "a</think><think>b"),
        ("<thinking>Hm.</thinking> Yes.", "Yes.", "Hm."),
        ("<think>never closed", "", "never closed"),
        ("The tags <think> and </think> mark it.", "The tags <think> and </think> mark it.", ""),
        ("A closing </think> in a sentence.", "A closing </think> in a sentence.", ""),
        ("Yes.", "Yes.", ""),
    ],
)
def test_thoughts_are_split_off(text: str, answer: str, thought: str) -> None:
    assert split_thought(text) == (answer, thought)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_in_every_place(name: str, tmp_path: Path) -> None:
    user = {"role": "user", "content": "a?"}
    rows: list[dict[str, Any]] = [
        {"messages": [user, {"role": "assistant", "content": "b", name: "Hm."}]},
        {"messages": [{**user, "content": "c?"}, {"role": "assistant", "content": "<think>Hm.</think>b"}]},
        {"messages": [{**user, "content": "d?"}, {"role": "assistant", "content": "<think>Hm."}]},
    ]
    made, account = read_supervised(write(tmp_path / "r.jsonl", *rows))
    assert [row.completion[0]["content"] for row in made] == ["b", "b"]
    assert (account.thoughts, account.dropped) == (3, {"thought without an answer": 1})
    (row,), account = read_supervised(write(tmp_path / "s.jsonl", {"prompt": "a?", "response": "b", name: "Hm."}))
    assert (row.completion[0]["content"], account.thoughts, account.unread) == ("b", 1, {})
    (row,), _ = read_supervised(tmp_path / "s.jsonl", thoughts="train")
    assert row.completion[0]["content"] == "<think>\nHm.\n</think>\n\nb"


@pytest.mark.parametrize(
    "text",
    [
        "Human: are they good?",
        "Write a dialogue in which User: and Assistant: take turns.",
        "Explain ### Response: in prompts.",
        "\n\nAssistant: I begin.",
        "assistant: a\nuser: b",
        "",
    ],
)
def test_what_is_no_transcript_stays_a_text(text: str) -> None:
    assert split_transcript(text) is None


@pytest.mark.parametrize(
    "text", ["[1, 2, 3]", '{"a": 1} and more', "[not json]", "['a', 2]", "[]", "[" * 100_000 + "]"]
)
def test_what_is_no_list_of_texts_stays_a_text(text: str) -> None:
    assert decoded(text) == text


def test_an_answer_that_is_json_stays_an_answer(tmp_path: Path) -> None:
    answers = ['["a", "b"]', '{"role": "x"}']
    path = write(tmp_path / "r.jsonl", {"prompt": '["p", "q"]', "chosen": answers[0], "rejected": answers[1]})
    (row,), _ = read_ranked(path)
    assert ([r["text"] for r in row.responses], row.messages[0]["content"]) == (answers, '["p", "q"]')


def test_an_answer_that_looks_like_a_transcript_stays_an_answer(tmp_path: Path) -> None:
    dialogue = "User: Hi.\nAssistant: Hello."
    path = write(tmp_path / "r.jsonl", {"prompt": "Write one.", "chosen": dialogue, "rejected": "No."})
    assert read_ranked(path)[0][0].responses[0]["text"] == dialogue
    path = write(tmp_path / "s.jsonl", {"prompt": "Write one.", "response": dialogue})
    assert read_supervised(path)[0][0].completion[0]["content"] == dialogue


def test_a_file_that_gives_both_serves_each_row_once(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a?", "response": "good", "rating": 5},
        {"prompt": "a?", "response": "bad", "rating": 1},
        {"prompt": "b?", "response": "alone", "rating": 4},
        {"prompt": "c?", "response": "low", "rating": 2},
    ]
    sets, more, account = read_both(write(tmp_path / "r.jsonl", *rows))
    assert [[r["text"] for r in s.responses] for s in sets] == [["good", "bad"]]
    assert [row.completion[0]["content"] for row in more] == ["alone"]
    assert (account.taken, account.dropped) == (2, {"answer rated low": 1})
    assert account.notes == ("rated by rating", "ranked sets: 1, more IFT rows: 1")


def test_conversations_that_part_are_no_set_but_the_winner_is_learnt(tmp_path: Path) -> None:
    row = {"prompt": '["a?", "b?"]', "response_a": '["1", "2"]', "response_b": '["3", "4"]', "winner": "model_b"}
    sets, more, account = read_both(write(tmp_path / "r.jsonl", row))
    assert (sets, account.dropped) == ([], {})
    assert [m["content"] for m in (*more[0].prompt, *more[0].completion)] == ["a?", "3", "b?", "4"]


def test_the_best_of_a_bad_lot_is_marked(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a?", "generations": ["x", "y"], "ratings": [2, 1]},
        {"prompt": "b?", "generations": ["v", "w"], "ratings": [5, 1]},
    ]
    sets, _ = read_ranked(write(tmp_path / "r.jsonl", *rows))
    assert [s.responses[0].get("imitable", True) for s in sets] == [False, True]
