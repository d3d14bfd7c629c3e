"""More layouts of public sets and of tools, each with what is right; `test_relatives.py` has those before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.rated_rows import A, B, Rows, U, bot, user, write
from judgeloop.data.answered import read_answered
from judgeloop.data.readers import read_both, read_prompts, read_supervised
from judgeloop.errors import InputError

HI = [user("Hi."), bot("Hello.")]
BEFORE = ["user: Hi.", "assistant: Hello."]
LATER = [user("And snow?"), bot("Cold.")]


def turns(messages: list[Any]) -> list[str]:
    return [f"{message['role']}: {message['content']}" for message in messages]


SETS: dict[str, tuple[Rows, list[str]]] = {
    "torchtune": ([{"chosen_conversations": [user(), bot()], "rejected_conversations": [user(), bot(B)]}], []),
    "CValues": ([{"prompt": U, "pos_resp": A, "neg_resp": B}], []),
    "the system message as the prompt": (
        [{"prompt": "Be brief.", "chosen": [{"role": "system", "content": "Be brief."}, user(), bot()],
          "rejected": [{"role": "system", "content": "Be brief."}, user(), bot(B)]}], ["system: Be brief."]
    ),
    "sides that begin with a mark": (
        [{"prompt": f"\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: {U}", "chosen": f"\n\nAssistant: {A}",
          "rejected": f"\n\nAssistant: {B}"}], BEFORE
    ),
    "NeMo-Aligner DPO": (
        [{"prompt": f"<extra_id_0>System\n\n<extra_id_1>User\n{U}\n<extra_id_1>Assistant\n",
          "chosen_response": f"{A}\n<extra_id_1>", "rejected_response": f"{B}\n<extra_id_1>"}], []
    ),
    "DeepSpeed-Chat": ([{"prompt": f"Human: {U} Assistant:", "chosen": f" {A}", "rejected": f" {B}"}], []),
    "MT-Bench, the first turn judged": (
        [{"conversation_a": [user(), bot(B), *LATER], "conversation_b": [user(), bot(), *LATER], "winner": "model_b",
          "model_a": "m", "model_b": "n", "turn": 1}], []
    ),
    "MT-Bench, both turns judged": (
        [{"conversation_a": [*HI, user(), bot()], "conversation_b": [*HI, user(), bot(B)], "winner": "model_a",
          "model_a": "m", "model_b": "n", "turn": 2}], BEFORE
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_ranked_sets(name: str, tmp_path: Path) -> None:
    rows, before = SETS[name]
    (ranked,), more, _ = read_both(write(tmp_path / "rows.jsonl", rows))
    assert more == []
    assert turns(ranked.messages) == [*before, "user: " + U]
    assert [response["text"].strip() for response in ranked.responses] == [A, B]


WHOLE = f"Below is an instruction that describes a task.\n\n### Instruction:\n{U}\n\n### Output:\n{A}"
LEARNT: dict[str, Rows] = {
    "a prompt that holds its answer": [{"instruction": U, "input": "", "output": A, "prompt": WHOLE}],
    "OpenMathInstruct": [{"problem": U, "generated_solution": A, "expected_answer": "4"}],
    "Firefly": [{"kind": "NLI", "input": U, "target": A}],
    "WildChat": [{"conversation": [{**user(), "toxic": True}, {**bot(), "toxic": False}], "toxic": False}],
    "LMSYS with moderation": [{"conversation": [user(), bot()], "openai_moderation": [{"flagged": False}] * 2}],
    "an answer that a template opened": [
        {"prompt": U, "response": f"<|start_header_id|>assistant<|end_header_id|>\n\n{A}<|eot_id|>"}
    ],
    "an answer that a mark of ChatML opened": [{"prompt": U, "response": f"<|im_start|>assistant\n{A}<|im_end|>"}],
    "an answer after which a turn is opened": [{"prompt": U, "response": f"{A}\n\nHuman: "}],
    "turns that say nothing": [{"messages": [user(), {**bot(), "rating": None, "label": "gardening", "weight": None}]}],
    "an answer that came to its end": [{"prompt": U, "response": A, "finish_reason": "stop", "truncated": False}],
    "what users wrote of it": [{"prompt": U, "response": A, "user_feedback": "I liked it, but it was long."}],
    "the answer that was checked": [
        {"problem": U, "solution": B, "generations": [B, A], "correctness_math_verify": [False, True]}
    ],
    "an index from 0": [{"prompt": U, "responses": [B, A], "chosen_index": 1}],
    "a caption": [{"prompt": U, "response": A, "image_caption": "a cat"}],
}


@pytest.mark.parametrize("name", LEARNT)
def test_answers_to_learn_from(name: str, tmp_path: Path) -> None:
    (row,), _ = read_supervised(write(tmp_path / "rows.jsonl", LEARNT[name]))
    assert (row.prompt, row.completion) == ([user()], [bot()])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": U, "response": A, "image_path": "a.png"}, "conversation with images or other media"),
        ({"prompt": U, "response": A, "Image URL": "x"}, "conversation with images or other media"),
        ({"prompt": U, "chosen": A, "rejected": B, "image_0": "x"}, "conversation with images or other media"),
        ({"messages": [user(), bot('<tool_call>\n{"name": "f"}\n</tool_call>')]}, "conversation with tool calls"),
        ({"prompt": U, "response": 'I look.\n<functioncall> {"name": "f"}'}, "conversation with tool calls"),
        ({"prompt": "[removed]", "response": A}, "prompt that was deleted"),
    ],
)
def test_what_is_dropped_for_which_reason(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"no usable row \(1 {reason}\)"):
        read_supervised(write(tmp_path / "rows.jsonl", [row]))


@pytest.mark.parametrize("names", ["chosen_reward rejected_reward", "reward_chosen reward_rejected"])
def test_rewards_beside_the_sides_must_agree_and_are_no_ratings(names: str, tmp_path: Path) -> None:
    chosen, rejected = names.split()
    rows: Rows = [
        {"prompt": U, "chosen": A, "rejected": B, chosen: 0.3, rejected: 0.1},
        {"prompt": "x?", "chosen": A, "rejected": B, chosen: 0.1, rejected: 0.9},
    ]
    (row,), account = read_supervised(write(tmp_path / "rows.jsonl", rows))
    assert (row.prompt, account.dropped) == ([user()], {"chosen is scored below rejected": 1})


def test_an_answer_that_speaks_of_a_call_is_taken(tmp_path: Path) -> None:
    text = "The tag <tool_call> opens a call."
    (row,), _ = read_supervised(write(tmp_path / "rows.jsonl", [{"prompt": U, "response": text}]))
    assert row.completion == [bot(text)]


def test_questions_of_arena_hard_are_prompts(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"question_id": "x", "cluster": "y", "turns": [{"content": U}]}])
    assert [prompt.messages for prompt in read_prompts(path)[0]] == [[user()]]


def test_conversations_without_answers_are_said_to_be_prompts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"last turn is not the assistant's.; they can be prompts: name the file in"):
        read_supervised(write(tmp_path / "rows.jsonl", [{"messages": [user()], "ground_truth": "x"}]))


@pytest.mark.parametrize(
    "value",
    [
        {"type": "text2text", "instances": [{"input": U, "output": A}]},
        {"type": "conversation", "instances": [{"messages": [user(), bot()]}]},
        {"features": [{"name": "prompt"}], "partial": False,
         "rows": [{"row_idx": 0, "row": {"prompt": U, "response": A}, "truncated_cells": []}]},
    ],
    ids=["LMFlow", "LMFlow conversations", "the hub's viewer"],
)  # fmt: skip
@pytest.mark.parametrize("indent", [None, 1])
def test_rows_within_one_object(value: dict[str, Any], indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(value, indent=indent), encoding="utf-8")
    (row,), _ = read_supervised(path)
    assert (row.prompt, row.completion) == ([user()], [bot()])


@pytest.mark.parametrize("array", [False, True])
def test_a_field_that_is_there_twice_is_refused(array: bool, tmp_path: Path) -> None:
    text = '{"prompt": "Why?", "response": "a", "response": "b"}'
    path = tmp_path / "rows.json"
    path.write_text(f"[{text}]" if array else text + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r":1: .*the field 'response' twice, with different values; mend or remove"):
        read_supervised(path)
    path.write_text(text.replace('"b"', '"a"') + "\n", encoding="utf-8")  # no word is lost
    assert read_supervised(path)[0][0].completion == [bot("a")]


def test_a_turn_called_bad_may_still_be_judged(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"messages": [user(), {**bot(), "rating": "bad", "weight": 0}]}])
    assert read_answered(path)[0].text == A
