"""Rows that say that their answer is bad, in whatever way: none is learnt, each is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.rated_rows import A, B, Rows, U, bot, user, write
from judgeloop.data.readers import read_supervised
from judgeloop.errors import InputError

BAD: dict[str, Rows] = {
    "a label": [{"prompt": U, "completion": A, "label": False}],
    "a label in a table": [{"prompt": U, "completion": A, "label": "False"}],
    "a label of 0": [{"messages": [user(), bot()], "label": 0}],
    "a tag": [{"messages": [user(), bot()], "kto_tag": False}],
    "thumbs down": [{"question": U, "answer": A, "thumbs_down": True}],
    "a vote": [{"question": U, "answer": A, "vote": "down"}],
    "a low rating": [{"prompt": U, "response": A, "rating": 1}, {"prompt": "x", "response": "y", "rating": 5}],
    "helpfulness": [{"prompt": U, "response": A, "helpfulness": 1}, {"prompt": "x", "response": "y", "helpfulness": 4}],
    "stars of a chat": [{"messages": [user(), bot()], "stars": 2}, {"messages": [user("x"), bot("y")], "stars": 5}],
    "an own rating": [{"prompt": U, "response": A, "llm_rating": 1}, {"prompt": "x", "response": "y", "llm_rating": 9}],
    "weight 0": [{"messages": [user("a"), bot("b"), user(), {**bot(), "weight": 0}]}],
    "not trained on": [{"conversations": [{"from": "human", "value": U}, {"from": "gpt", "value": A, "train": False}]}],
    "toxic": [{"user_input": U, "model_output": A, "toxicity": 1}],
    "the best of a bad lot": [
        {"instruction": U, "generations": [A, B], "ratings": [2, 1]},
        {"instruction": "x", "generations": ["y", "z"], "ratings": [5, 1]},
    ],
    "answers that are all wrong": [
        {"problem": U, "solution": "5", "generations": [A, B], "correctness_math_verify": [False, False]}
    ],
    "unsafe though better": [
        {"prompt": U, "response_0": A, "response_1": B, "is_response_0_safe": False, "is_response_1_safe": False,
         "better_response_id": 0}
    ],
    "what the user said of it": [{"prompt": U, "response": A, "user_feedback": "dislike"}],
    "not safe for work": [{"prompt": U, "response": A, "is_nsfw": True}],
    "a position": [{"prompt": U, "response": A, "rank_position": 2}, {"prompt": U, "response": B, "rank_position": 1}],
    "cut off at the limit": [{"prompt": U, "response": A, "finish_reason": "length"}],
    "cut off by a filter": [{"messages": [user(), bot()], "finishReason": "SAFETY"}],
    "cut off, Anthropic's word": [{"prompt": U, "response": A, "stop_reason": "max_tokens"}],
    "a flag of being cut off": [{"prompt": U, "response": A, "truncated": True}],
    "was cut off": [{"prompt": U, "response": A, "was_truncated": True}],
    "how it finished": [{"prompt": U, "response": A, "finish": "length"}],
    "not ok": [{"prompt": U, "response": A, "ok": False}],
    "all tests": [{"prompt": U, "response": A, "all_tests_passed": False}],
    "no match": [{"prompt": U, "response": A, "exact_match": 0}],
    "a word for its quality": [{"prompt": U, "response": A, "response_quality": "poor"}],
    "padding": [{"prompt": U, "response": "[PAD]"}],
    "a word in a column of ratings": [{"prompt": U, "response": A, "rating": "very poor"}],
    "a word in a column of ratings of a chat": [{"messages": [user(), bot()], "rating": "thumbs_down"}],
    "a rating out of five": [{"prompt": U, "response": A, "rating": "1/5"}],
    "false for a score": [{"prompt": U, "response": A, "score": False}],
    "a first row of another type": [
        {"prompt": U, "response": A, "score": "N/A"}, {"prompt": "x", "response": "y", "score": 5}
    ],
    "a first label that says neither": [
        {"prompt": U, "response": A, "label": "neutral"}, {"prompt": "x", "response": "y", "label": "good"}
    ],
    "a first label that is blank": [
        {"prompt": U, "response": A, "label": ""}, {"prompt": "x", "response": "y", "label": "good"}
    ],
    "a rating that is no number": [
        {"prompt": "x", "response": "y", "rating": 5}, {"prompt": U, "response": A, "rating": "NaN"}
    ],
    "a label of few letters": [{"prompt": U, "response": A, "label": "KO"}],
    "an unhelpful answer": [{"prompt": U, "response": A, "label": "unhelpful"}],
    "a word for a fault": [{"prompt": U, "response": A, "is_harmful": "harmful"}],
    "a fault that is likely": [{"prompt": U, "response": A, "toxicity": 0.97}],
    "one bad label of two": [{"prompt": U, "response": A, "thumbs_down": False, "flagged": True}],
    "votes below 0": [{"messages": [user(), bot()], "score": -1}],
    "the middle of five": [{"prompt": U, "response": A, "rating": 3}, {"prompt": "x", "response": "y", "rating": 4}],
    "a toxic answer": [{"prompt": U, "response": A, "toxicity_score": 0.97}],
    "hallucinated": [
        {"prompt": U, "response": A, "hallucination_score": 5},
        {"prompt": "x", "response": "y", "hallucination_score": 1},
    ],
    "a row of weight 0": [{"messages": [user(), bot()], "weight": 0}],
    "a pair of weight 0": [{"prompt": U, "completion": A, "weight": 0.0}],
    "tests that failed": [{"prompt": U, "response": A, "passed": False}],
    "not verified": [{"prompt": U, "response": A, "verified": False}],
    "a rated transcript": [{"text": f"### Human: {U}### Assistant: {A}", "label": "bad"}],
    "chosen though scored lower": [
        {"prompt": U, "chosen": A, "rejected": B, "score_chosen": 8.0, "score_rejected": 9.0}
    ],
    "chosen by chance": [{"prompt": U, "chosen": A, "rejected": B, "score_chosen": 8.0, "score_rejected": 8.0}],
    "a wrong solution": [{"problem": U, "solution": A, "is_correct": False}],
    "a wrong generated solution": [{"problem": U, "generated_solution": A, "is_correct": False}],
    "a merit by its parts": [{"prompt": U, "response": A, "answer_is_correct": False}],
    "a fault by its parts": [{"prompt": U, "response": A, "contains_hallucination": "yes"}],
    "a fault of the answer": [
        {"prompt": U, "response": A, "prompt_harm_label": "unharmful", "response_harm_label": "harmful"}
    ],
    "a verdict": [{"prompt": U, "response": A, "verdict": "incorrect"}],
    "a judge's grade": [{"prompt": U, "response": A, "deepseek_grade": "No"}],
    "a guard": [{"instruction": U, "response": A, "llama_guard_2": "unsafe", "instruct_reward": 3.0}],
    "an outcome": [{"messages": [user(), bot()], "outcome": "fail"}],
    "moderation of each turn": [
        {"conversation": [user(), bot()], "openai_moderation": [{"flagged": False}, {"flagged": True}]}
    ],
    "not to be trained on": [{"messages": [user(), bot()], "train": False}],
    "a turn with a thumb": [{"messages": [user(), {**bot(), "rating": "thumbs_down"}]}],
    "a turn with a note (Open WebUI)": [
        {"messages": [user(), {**bot(), "annotation": {"rating": -1}}]},
        {"messages": [user("x"), {**bot("y"), "annotation": {"rating": 1}}]},
    ],
    "a turn with a low score": [
        {"conversations": [{"from": "human", "value": U}, {"from": "gpt", "value": A, "score": 1}]},
        {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y", "score": 5}]},
    ],
    "a toxic turn": [{"conversation": [{**user(), "toxic": False}, {**bot(), "toxic": True}]}],
    "a turn of no loss": [{"messages": [user(), {**bot(), "loss_scale": 0.0}]}],
    "a chosen turn with a thumb": [
        {"prompt": U, "chosen": [user(), {**bot(), "feedback": "bad"}], "rejected": [user(), bot(B)]}
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_its_row_calls_bad_is_never_learnt(name: str, tmp_path: Path) -> None:
    try:
        rows, account = read_supervised(write(tmp_path / "rows.jsonl", BAD[name]))
    except InputError as error:  # nothing else is in the file
        if "no usable row (1 " not in str(error):
            raise
        return
    assert A not in [row.completion[0]["content"] for row in rows]
    assert sum(account.dropped.values()) == 1
