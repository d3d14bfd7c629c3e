"""Two answers whose columns differ in their side alone, columns named in other languages, and splits to test on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.rated_rows import A, B, Rows, U, bot, user, write
from judgeloop.data.readers import read_both, read_prompts, read_ranked, read_supervised
from judgeloop.errors import InputError

COMPARED: dict[str, dict[str, Any]] = {
    "left and right": {"prompt": U, "left": B, "right": A, "preference": "right"},
    "in words": {"prompt": U, "left_response": A, "right_response": B, "winner": "Left response"},
    "first and second": {"question": U, "first": A, "second": B, "winner": "the first one"},
    "letters alone": {"instruction": U, "a": B, "b": A, "winner": "B"},
    "a stem of its own": {"prompt": U, "story_a": B, "story_b": A, "label": "b"},
    "options that a vote compares": {"question": U, "option_a": B, "option_b": A, "better_option": "b"},
    "a vote of an unusual name": {"prompt": U, "candidate_1": B, "candidate_2": A, "best_candidate": 2},
    "a person's vote": {"prompt": U, "response_a": A, "response_b": B, "human_vote": "a"},
    "scores beside left and right": {"prompt": U, "left": A, "right": B, "winner": "left", "left_score": 5},
    "misspelt": {"prompt": U, "prefered": A, "non_prefered": B},
    "the paper's letters": {"x": U, "y_w": A, "y_l": B},
    "safe and unsafe": {"prompt": U, "safe": A, "unsafe": B},
    "Chinese": {"问题": U, "好回答": A, "差回答": B},
}


@pytest.mark.parametrize("name", COMPARED)
def test_two_answers_that_were_compared(name: str, tmp_path: Path) -> None:
    (ranked,), more, _ = read_both(write(tmp_path / "rows.jsonl", [COMPARED[name]]))
    assert (more, ranked.messages) == ([], [user()])
    assert [response["text"] for response in ranked.responses] == [A, B]


def test_a_first_vote_that_is_a_tie(tmp_path: Path) -> None:
    rows: Rows = [{"prompt": "x?", "left": A, "right": B, "winner": "tie"}, {"prompt": U, **COMPARED["left and right"]}]
    rows[1]["winner"] = rows[1].pop("preference")
    (ranked,), account = read_ranked(write(tmp_path / "rows.jsonl", rows))
    assert (ranked.responses[0]["text"], account.dropped) == (A, {"all responses tie": 1})


@pytest.mark.parametrize(
    "row",
    [
        {"question": U, "option_a": A, "option_b": B, "option_c": "x", "label": "B"},
        {"question": U, "choice_a": A, "choice_b": B, "label": "A"},
        {"question": U, "model_a": "one of a kind", "model_b": "another of them", "winner": "model_a"},
        {"prompt": U, "text_left": "on the left of it", "text_right": "on the right of it"},
    ],
)
def test_choices_and_models_are_no_answers(row: dict[str, Any], tmp_path: Path) -> None:
    (prompt,), _ = read_prompts(write(tmp_path / "rows.jsonl", [row]))
    assert prompt.messages == [user()]
    with pytest.raises(InputError, match=r"prompts|nothing ranks"):
        read_ranked(tmp_path / "rows.jsonl")


def test_one_chosen_and_several_rejected(tmp_path: Path) -> None:
    rows: Rows = [{"prompt": U, "chosen": A, "rejected": [B, "Who knows."]}]
    (ranked,), _ = read_ranked(write(tmp_path / "rows.jsonl", rows))
    assert [(r["text"], r["rank"]) for r in ranked.responses] == [(A, 0), (B, 1), ("Who knows.", 1)]


def test_a_pair_within_a_column_is_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"prompt": U, "pair": {"chosen": A, "rejected": B}}])
    with pytest.raises(InputError, match="'pair' stands beside the prompt"):
        read_both(path)
    (ranked,), _, _ = read_both(path, fields={"chosen": "pair.chosen", "rejected": "pair.rejected"})
    assert ranked.responses[0]["text"] == A


def test_a_model_s_name_is_no_side(tmp_path: Path) -> None:
    row = {"prompt": U, "model_1": "llama-2", "model_2": "other-1", "output_1": A, "output_2": B, "winner": "llama-2"}
    (ranked,), _ = read_ranked(write(tmp_path / "rows.jsonl", [row]))
    assert ranked.responses[0]["text"] == A


def test_flags_of_safety_are_no_pair(tmp_path: Path) -> None:
    (row,), _ = read_supervised(
        write(tmp_path / "rows.jsonl", [{"prompt": U, "response": A, "safe": "yes", "unsafe": "no"}])
    )
    assert row.completion == [bot()]


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("指令", "输出"), ("问题", "答案"), ("質問", "回答"), ("질문", "답변"), ("Frage", "Antwort"),
        ("pregunta", "respuesta"), ("question", "réponse"), ("вопрос", "ответ"),
        ("السؤال", "الإجابة"), ("pergunta", "resposta"), ("q", "a"),
    ],
)  # fmt: skip
def test_columns_named_in_other_languages(prompt: str, response: str, tmp_path: Path) -> None:
    (row,), account = read_supervised(write(tmp_path / "rows.jsonl", [{prompt: U, response: A}]))
    assert (row.prompt, row.completion, account.unread) == ([user()], [bot()], {})


@pytest.mark.parametrize(("column", "bad", "good"), [("评分", 1, 5), ("质量", "差", "好"), ("是否正确", "否", "是")])
def test_marks_in_other_languages(column: str, bad: object, good: object, tmp_path: Path) -> None:
    rows: Rows = [{"问题": "x?", "回答": B, column: bad}, {"问题": U, "回答": A, column: good}]
    (row,), account = read_supervised(write(tmp_path / "rows.jsonl", rows))
    assert (row.completion, sum(account.dropped.values())) == ([bot()], 1)


@pytest.mark.parametrize("split", ["test", "validation", "Held-out", "dev"])
def test_rows_of_a_split_to_test_on_are_prompts_and_not_learnt(split: str, tmp_path: Path) -> None:
    rows: Rows = [{"prompt": "x?", "response": B, "split": split}, {"prompt": U, "response": A, "split": "train"}]
    path = write(tmp_path / "rows.jsonl", rows)
    (row,), account = read_supervised(path)
    assert (row.completion, account.dropped) == ([bot()], {"row of a split that is kept to test on": 1})
    assert len(read_supervised(path, fields={"split": None})[0]) == 2
    assert len(read_prompts(path)[0]) == 2
    with pytest.raises(InputError, match=r"split: null"):
        read_supervised(write(tmp_path / "test.jsonl", rows[:1]))


def test_a_split_by_subject_is_none(tmp_path: Path) -> None:
    rows: Rows = [{"prompt": U, "response": A, "split": "math"}]
    assert len(read_supervised(write(tmp_path / "rows.jsonl", rows))[0]) == 1


def test_what_a_solution_comes_to_is_no_other_solution(tmp_path: Path) -> None:
    long = "It is petrichor, an oil that dry stones give off, and that the rain takes up into the air."
    rows: Rows = [{"problem": U, "solution": long, "answer": "an oil of stones"}]
    (row,), _ = read_supervised(write(tmp_path / "rows.jsonl", rows))
    assert row.completion == [bot(long)]
