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
    "a place for a number": {"prompt": U, "answer1": B, "answer2": A, "comparison": "right"},
    "a letter for a number": {"prompt": U, "response_1": A, "response_2": B, "winner": "model_a"},
    "a vote in a sentence": {"prompt": U, "response_a": B, "response_b": A, "preference": "B is slightly better."},
    "votes of annotators that agree": {
        "prompt": U,
        "response-1": B,
        "response-2": A,
        "preference": [{"user_id": n, "value": "response-2", "status": "submitted"} for n in "xy"],
    },
    "scores in a judge's object": {"prompt": U, "answer1_body": A, "answer2_body": B, "score": [{"score": [9, 2]}]},
    "Chinese answers": {"问题": U, "回答A": B, "回答B": A, "胜者": "B"},
    "German": {"Frage": U, "bessere Antwort": A, "schlechtere Antwort": B},
    "an index": {"prompt": U, "responses": [B, A], "best_response_idx": 1},
    "labels within": {"prompt": U, "completions": [{"text": B, "label": False}, {"text": A, "label": True}]},
    "the best one within": {"prompt": U, "candidates": [{"text": A, "is_best": 1}, {"text": B, "is_best": 0}]},
    "a ranking of two": {"prompt": U, "responses": [B, A], "ranking": [2, 1]},
    "Chinese": {"问题": U, "好回答": A, "差回答": B},
}


@pytest.mark.parametrize("name", COMPARED)
def test_two_answers_that_were_compared(name: str, tmp_path: Path) -> None:
    (ranked,), more, _ = read_both(write(tmp_path / "rows.jsonl", [COMPARED[name]]))
    assert (more, ranked.messages) == ([], [user()])
    assert [response["text"] for response in ranked.responses] == [A, B]


UNCLEAR: dict[str, tuple[dict[str, Any], str]] = {
    "annotators that do not agree": (
        {"prompt": U, "response_a": A, "response_b": B, "winner": [{"value": "a"}, {"value": "b"}]},
        "1 comparison without a verdict",
    ),
    "ranks or an order": (
        {"prompt": U, "responses": [A, B, "x"], "ranking": [2, 0, 1]}, r"in order; .*fields: \{ranks: ranking\}"
    ),
    "why they ended": (
        {"prompt": U, "completions": [{"text": t, "finish_reason": "stop"} for t in (A, B)]},
        "answer without a rank or a score",
    ),
    "calls": ({"query": U, "answers": [{"name": "f", "arguments": {}}]}, "1 conversation with tool calls"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNCLEAR)
def test_answers_that_are_not_ranked(name: str, tmp_path: Path) -> None:
    row, said = UNCLEAR[name]
    with pytest.raises(InputError, match=said):
        read_ranked(write(tmp_path / "rows.jsonl", [row]))


def test_a_ranking_that_is_said_to_be_ranks(tmp_path: Path) -> None:
    rows: Rows = [{"prompt": U, "responses": [B, A, "x"], "ranking": [2, 0, 1]}]
    (ranked,), _ = read_ranked(write(tmp_path / "rows.jsonl", rows), fields={"ranks": "ranking"})
    assert [response["text"] for response in ranked.responses] == [A, "x", B]


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


def test_speakers_named_in_other_languages(tmp_path: Path) -> None:
    talk = [{"role": "系统", "content": "Hi."}, {"role": "用户", "content": U}, {"role": "助手", "content": A}]
    (row,), _ = read_supervised(write(tmp_path / "rows.jsonl", [{"messages": talk}]))
    assert [message["role"] for message in (*row.prompt, *row.completion)] == ["system", "user", "assistant"]


@pytest.mark.parametrize("name", ["回答甲", "lange Antwort"])
def test_an_answer_of_an_unknown_name_is_asked_about(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"'{name}' stands beside the prompt"):
        read_supervised(write(tmp_path / "rows.jsonl", [{"问题": U, name: A}]))


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
