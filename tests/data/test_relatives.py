"""Layouts of much used public sets, and their relatives: other names, roles, containers. Each gives what is right.

A case is rows and what they become: ranked sets as (prompt turns, texts best first), IFT rows as (prompt turns,
target).
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from data.rated_rows import A, B, Rows, U, bot, user, write
from judgeloop.data.readers import read_both, read_prompts, read_supervised

ONE = (["user: " + U], [A, B])


def turns(messages: list[Any]) -> list[str]:
    return [f"{message['role']}: {message['content']}" for message in messages]


SETS: dict[str, Rows] = {
    "Orca DPO": [{"system": "", "question": U, "chosen": A, "rejected": B}],
    "Orca DPO of Argilla": [
        {"system": None, "input": U, "chosen": A, "rejected": B, "generations": [A, B], "order": ["x", "y"],
         "rating": [9.0, 3.0], "rating_rationale": "…", "chosen_score": 9.0, "status": "unchanged"}
    ],
    "LLaMA-Factory": [{"instruction": "Why does rain", "input": "smell?", "chosen": A, "rejected": B}],
    "LLaMA-Factory ShareGPT": [
        {"conversations": [{"from": "human", "value": U}], "chosen": {"from": "gpt", "value": A},
         "rejected": {"from": "gpt", "value": B}}
    ],
    "UltraFeedback binarized": [
        {"prompt": U, "prompt_id": "x", "chosen": [user(), bot()], "rejected": [user(), bot(B)],
         "messages": [user(), bot()],
         "score_chosen": 8.5, "score_rejected": 3.0}
    ],
    "UltraFeedback": [
        {"source": "x", "instruction": U, "models": ["a", "b"], "completions": [
            {"model": "b", "response": B, "overall_score": 2.0, "fine-grained_score": 2.5, "critique": "…"},
            {"model": "a", "response": A, "overall_score": 8.5, "fine-grained_score": 4.5, "critique": "…"}]}
    ],
    "Skywork": [{"chosen": [user(), bot()], "rejected": [user(), bot(B)], "source": "x"}],
    "hh-rlhf": [
        {"chosen": f"\n\nHuman: {U}\n\nAssistant: {A}", "rejected": f"\n\nHuman: {U}\n\nAssistant: {B}"}
    ],
    "hh-rlhf with a prompt": [
        {"prompt": f"\n\nHuman: {U}\n\nAssistant:", "chosen": f" {A}".strip(), "rejected": B}
    ],
    "Nectar": [
        {"prompt": f"\n\nHuman: {U}\n\nAssistant: ", "answers": [
            {"answer": B, "model": "m2", "rank": 2.0}, {"answer": A, "model": "m1", "rank": 1.0}], "turns": 1}
    ],
    "SHP": [
        {"post_id": "x", "history": U, "human_ref_A": B, "human_ref_B": A, "labels": 0, "score_A": 3, "score_B": 52,
         "score_ratio": 17.3, "domain": "x"}
    ],
    "WebGPT": [
        {"question": {"dataset": "eli5", "id": "1", "full_text": U}, "answer_0": B, "answer_1": A, "score_0": -0.5,
         "score_1": 0.5, "tokens_0": {"prefix": [1]}, "quotes_0": {"title": ["x"]}}
    ],
    "PKU": [
        {"prompt": U, "response_0": B, "response_1": A, "is_response_0_safe": False, "is_response_1_safe": True,
         "better_response_id": 1, "safer_response_id": 1}
    ],
    "PKU, only safer": [{"prompt": U, "response_0": B, "response_1": A, "safer_response_id": 1}],
    "arena": [
        {"id": 1, "prompt": json.dumps([U]), "response_a": json.dumps([B]), "response_b": json.dumps([A]),
         "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0}
    ],
    "arena conversations": [
        {"question_id": "x", "model_a": "m", "model_b": "n", "winner": "model_b", "conversation_a": [user(), bot(B)],
         "conversation_b": [user(), bot(A)], "turn": 1, "language": "English"}
    ],
    "HelpSteer3": [
        {"domain": "general", "context": [user()], "response1": A, "response2": B, "overall_preference": -2}
    ],
    "HelpSteer2 preference": [
        {"prompt": U, "response_1": A, "response_2": B, "preference_strength": -1, "preference_statement": "…"}
    ],
    "JudgeLM": [
        {"question_body": U, "answer1_body": B, "answer2_body": A, "score": [3, 8], "answer1_model_id": "x"}
    ],
    "Prometheus preferences": [
        {"orig_instruction": U, "orig_response_A": B, "orig_response_B": A, "orig_preference": "B",
         "orig_feedback": "…", "instruction": "###Task Description: …", "input": "…", "output": "Feedback [RESULT] B"}
    ],
    "JudgeBench": [{"question": U, "response_model": "m", "response_A": B, "response_B": A, "label": "B>A"}],
    "arena hard": [{"prompt": U, "answer_a": B, "answer_b": A, "verdict": "[[A<<B]]"}],
    "alpaca_eval": [{"instruction": U, "output_1": B, "output_2": A, "preference": 1.9998}],
    "SHP without scores": [{"history": U, "human_ref_A": A, "human_ref_B": B, "labels": 1}],
    "winner and loser name models": [
        {"prompt": U, "model_a": "m", "model_b": "n", "response_a": B, "response_b": A, "winner": "model_b",
         "loser": "model_a"}
    ],
    "winner and loser by their names": [
        {"prompt": U, "model_a": "m", "model_b": "n", "response_a": B, "response_b": A, "winner": "n", "loser": "m"}
    ],
    "preferred by number": [{"prompt": U, "answer_1": B, "answer_2": A, "preferred": "2", "dispreferred": "1"}],
    "a rank a column": [{"prompt": U, "response_1": B, "response_2": A, "rank_1": 2, "rank_2": 1}],
    "ranks beside columns": [{"prompt": U, "completion_a": B, "completion_b": A, "ranking": [2, 1]}],
    "scores out of ten": [{"prompt": U, "response_a": B, "response_b": A, "score_a": "2/10", "score_b": "9/10"}],
    "scores of another scale": [
        {"prompt": U, "responses": [{"text": B, "score": 2}, {"text": A, "score": 8}]}
    ],
    "scores below 0": [{"prompt": U, "responses": [{"text": B, "score": -3.2}, {"text": A, "score": 1.5}]}],
    "ms-swift": [{"messages": [user(), bot()], "rejected_response": B}],
    "ms-swift messages": [{"messages": [user(), bot()], "rejected_messages": [user(), bot(B)]}],
    "an answer and a rejected one": [{"prompt": U, "response": A, "rejected": B}],
    "SPIN": [{"real": [user(), bot()], "generated": [user(), bot(B)]}],
    "a score of faults": [
        {"prompt": U, "response": B, "toxicity_score": 0.9}, {"prompt": U, "response": A, "toxicity_score": 0.1}
    ],
    "AlpacaFarm": [{"instruction": U, "input": "", "output_1": B, "output_2": A, "preference": 2}],
    "distilabel": [{"instruction": U, "generations": [B, A], "ratings": [1, 5], "model_name": "x"}],
    "distilabel, a rating missing": [{"instruction": U, "generations": [B, "x", A], "ratings": [1, None, 5]}],
    "answers and ranks": [{"question": U, "answers": [B, A], "ranks": [2, 1]}],
    "StackExchange": [
        {"qid": 1, "question": U, "answers": [
            {"answer_id": 1, "text": A, "pm_score": 4, "selected": True},
            {"answer_id": 2, "text": B, "pm_score": 0, "selected": False}]}
    ],
    "responses and a best": [{"prompt": U, "candidates": [B, A], "best": 1}],
    "accepted": [{"query": U, "accepted": A, "rejected": B}],
    "positive and negative": [{"Prompt": U, "Positive": A, "Negative": B}],
    "preferred and dispreferred": [{"prompt": U, "preferred": A, "dispreferred": B}],
    "better and worse": [{"question": U, "better": A, "worse": B}],
    "winner by name": [{"prompt": U, "response_a": B, "response_b": A, "winner": "B"}],
    "winner by its model": [
        {"prompt": U, "model_a": "m", "model_b": "n", "response_a": B, "response_b": A, "winner": "n"}
    ],
    "winner by its text": [{"prompt": U, "response_1": B, "response_2": A, "chosen": A}],
    "StackExchange paired": [{"qid": 1, "question": U, "response_j": A, "response_k": B}],
    "the letters of the paper": [{"x": 1, "prompt": U, "y_w": A, "y_l": B}],
    "chosen and rejected outputs": [{"Instruction": U, "Chosen Output": A, "Rejected Output": B}],
    "winner in brackets": [{"prompt": U, "response_a": B, "response_b": A, "winner": "[[B]]"}],
    "numbered by camel case": [{"prompt": U, "responseA": B, "responseB": A, "winner": "response_b"}],
    "HelpSteer2": [
        {"prompt": U, "response": B, "helpfulness": 1, "correctness": 2},
        {"prompt": U, "response": A, "helpfulness": 4, "correctness": 4},
    ],
    "ratings in text": [{"question": U, "answer": B, "rating": "2"}, {"question": U, "answer": A, "rating": "5"}],
    "Prometheus": [
        {"orig_instruction": U, "orig_response": B, "orig_score": "1", "instruction": "Judge", "output": "x [RESULT]"},
        {"orig_instruction": U, "orig_response": A, "orig_score": "5", "instruction": "Judge", "output": "x [RESULT]"},
    ],
    "KTO": [
        {"prompt": U, "completion": B, "label": False}, {"prompt": U, "completion": A, "label": True}
    ],
    "KTO messages": [
        {"prompt": [user()], "completion": [bot(B)], "label": False},
        {"prompt": [user()], "completion": [bot(A)], "label": True},
    ],
    "LLaMA-Factory KTO": [
        {"messages": [user(), bot(B)], "label": False}, {"messages": [user(), bot(A)], "label": True}
    ],
    "thumbs": [
        {"question": U, "answer": B, "feedback": "thumbs_down"}, {"question": U, "answer": A, "feedback": "thumbs_up"}
    ],
    "ranked rows": [{"prompt": U, "response": A, "rank": 1}, {"prompt": U, "response": B, "rank": 2}],
    "a rank in columns of a table": [{"prompt": U, "responses": {"text": [B, A], "rank": [1, 0]}}],
    "ChatML sides": [
        {"chosen": f"<|im_start|>user\n{U}<|im_end|>\n<|im_start|>assistant\n{A}<|im_end|>\n",
         "rejected": f"<|im_start|>user\n{U}<|im_end|>\n<|im_start|>assistant\n{B}<|im_end|>\n"}
    ],
    "messages as Python prints them": [
        {"prompt": U, "chosen": str([user(), bot()]), "rejected": str([user(), bot(B)])}
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_ranked_sets(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", SETS[name])
    sets, more, account = read_both(path)
    found = [(turns(s.messages), [r["text"] for r in s.responses]) for s in sets]
    wanted = ([ONE[0][0].replace("rain smell", "rain\n\nsmell")], ONE[1]) if name == "LLaMA-Factory" else ONE
    assert (found, more) == ([wanted], [])
    (row,) = read_supervised(path)[0]
    assert (turns(row.prompt), row.completion) == (wanted[0], [bot(A)])
    assert turns(read_prompts(path)[0][0].messages) == wanted[0]
    assert not any(name in ("prompt", "chosen", "rejected") for name in account.unread)


@pytest.mark.parametrize("name", [name for name in SETS if name not in ("a rank in columns of a table",)])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_ranked_sets_as_tables_of_text(name: str, delimiter: str, tmp_path: Path) -> None:
    rows = SETS[name]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    for row in rows:
        writer.writerow({k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in row.items()})
    path = tmp_path / "rows.csv"
    path.write_text(out.getvalue(), encoding="utf-8")
    sets, _, account = read_both(path)
    assert [[r["text"] for r in s.responses] for s in sets] == [ONE[1]]
    assert account.container.startswith("TSV" if delimiter == "\t" else "CSV")


BAD_HARM = {"prompt": "x", "response": "y", "harm_rating": 5}
LOW_OF_TWO: Rows = [{"prompt": "x", "response": "y", "score": 0}, {"prompt": "v", "response": "w", "score": 1}]
CHATS: dict[str, tuple[Rows, list[str]]] = {
    "no_robots": ([{"prompt": U, "prompt_id": "x", "messages": [user(), bot()], "category": "QA"}], []),
    "Tulu 3": ([{"id": "x", "messages": [user(), bot()], "source": "x"}], []),
    "LIMA": ([{"conversations": [U, A], "source": "x"}], []),
    "Capybara": ([{"source": "x", "conversation": [{"input": U, "output": A}]}], []),
    "Capybara, two turns": (
        [{"conversation": [{"input": "Hi.", "output": "Hello."}, {"input": U, "output": A}]}],
        ["user: Hi.", "assistant: Hello."],
    ),
    "LMSYS": ([{"conversation_id": "x", "model": "m", "conversation": [user(), bot()], "redacted": False}], []),
    "Dolly": ([{"instruction": U, "context": "", "response": A, "category": "open_qa"}], []),
    "OpenHermes": (
        [{"system_prompt": None, "conversations": [{"from": "human", "value": U}, {"from": "gpt", "value": A}]}], []
    ),
    "input and output": ([{"input": U, "output": A}], []),
    "roles in capitals": ([{"dialogue": [{"speaker": "USER", "text": U}, {"speaker": "BOT", "text": A}]}], []),
    "dialog of prompter": ([{"dialog": [{"role": "Prompter", "content": U}, {"role": "Assistant", "content": A}]}], []),
    "Guanaco": ([{"text": f"### Human: {U}### Assistant: {A}"}], []),
    "Alpaca text": (
        [{"text": "Below is an instruction that describes a task. Write a response that appropriately completes the "
                  f"request.\n\n### Instruction:\n{U}\n\n### Response:\n{A}"}], []
    ),
    "Llama 2 text": (
        [{"text": f"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n{U} [/INST] {A} </s>"}], ["system: Be brief."]
    ),
    "ChatML text": (
        [{"text": f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{U}<|im_end|>\n<|im_start|>assistant\n"
                  f"{A}<|im_end|>\n"}], ["system: Be brief."]
    ),
    "Llama 3 text": (
        [{"text": f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{U}<|eot_id|>"
                  f"<|start_header_id|>assistant<|end_header_id|>\n\n{A}<|eot_id|>"}], []
    ),
    "Gemma text": ([{"text": f"<start_of_turn>user\n{U}<end_of_turn>\n<start_of_turn>model\n{A}<end_of_turn>"}], []),
    "Zephyr text": ([{"text": f"<|user|>\n{U}</s>\n<|assistant|>\n{A}</s>"}], []),
    "question text": ([{"text": f"Question: {U}\nAnswer: {A}"}], []),
    "Vicuna text": ([{"text": f"USER: {U} ASSISTANT: {A}</s>"}], []),
    "HelpSteer turns": (
        [{"prompt": f"Hi.\n<extra_id_1>Assistant\nHello.\n<extra_id_1>User\n{U}", "response": A}],
        ["user: Hi.", "assistant: Hello."],
    ),
    "messages in a string": ([{"messages": json.dumps([user(), bot()])}], []),
    "a history of messages": (
        [{"instruction": U, "history": [user("Hi."), bot("Hello.")], "output": A}], ["user: Hi.", "assistant: Hello."]
    ),
    "OpenAI parts": ([{"messages": [user(), {"role": "assistant", "content": [{"type": "text", "text": A}]}]}], []),
    "toxic_chat": ([{"conv_id": "x", "user_input": U, "model_output": A, "toxicity": 0, "jailbreaking": 0}], []),
    "a conversation and its answer": ([{"messages": [user()], "response": A}], []),
    "Nemotron": ([{"input": [user()], "output": A, "reasoning": "off"}], []),
    "Aya": ([{"inputs": U, "targets": A, "language": "English"}], []),
    "a user's name beside an input": ([{"user": "alice", "input": U, "output": A}], []),
    "a request's id beside an input": ([{"request": "r-1", "input": U, "output": A}], []),
    "a user's name beside a query": ([{"human": "alice", "input_text": U, "response": A}], []),
    "a conversation before the question": (
        [{"question": U, "context": [user("Hi."), bot("Hello.")], "response": A}], ["user: Hi.", "assistant: Hello."]
    ),
    "a conversation that ends with the question": (
        [{"question": U, "context": [user("Hi."), bot("Hello."), user()], "response": A}],
        ["user: Hi.", "assistant: Hello."],
    ),
    "a score of something else": ([{"instruction": U, "output": A, "difficulty_score": 2}], []),
    "a harmless answer": ([{"prompt": U, "response": A, "harm_rating": 1}, BAD_HARM], []),
    "a score of 2 from 0 to 2": ([{"prompt": U, "response": A, "score": 2}, *LOW_OF_TWO], []),
    "a label of another kind": ([{"prompt": U, "response": A, "label": "weather"}], []),
}  # fmt: skip


@pytest.mark.parametrize("name", CHATS)
def test_answers_to_learn_from(name: str, tmp_path: Path) -> None:
    rows, before = CHATS[name]
    (row,), account = read_supervised(write(tmp_path / "rows.jsonl", rows))
    assert turns(row.prompt) == [*before, "user: " + U]
    assert row.completion == [bot(A)]
    assert set(account.unread) <= set(rows[0])


def test_paragraphs_of_context_are_the_input(tmp_path: Path) -> None:
    rows: Rows = [{"question": U, "context": ["One.", "Two."], "answer": A}]
    (row,), _ = read_supervised(write(tmp_path / "rows.jsonl", rows))
    assert turns(row.prompt) == [f"user: {U}\n\nOne.\n\nTwo."]


def test_passages_of_context_in_a_table_are_the_input(tmp_path: Path) -> None:
    rows: Rows = [{"question": U, "context": '[{"title": "One", "text": "Two"}]', "answer": A}]
    (row,), _ = read_supervised(write(tmp_path / "rows.jsonl", rows))
    assert turns(row.prompt) == [f"user: {U}\n\n{rows[0]['context']}"]


def test_a_switch_is_no_thought(tmp_path: Path) -> None:
    _, account = read_supervised(write(tmp_path / "rows.jsonl", [{"prompt": U, "response": A, "reasoning": "on"}]))
    assert account.thoughts == 0
