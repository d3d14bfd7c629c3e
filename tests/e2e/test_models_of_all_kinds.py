"""Whole runs from models that are not the usual instruct model: a base model, and one that thinks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import trl
from transformers import AutoTokenizer

from judgeloop.jsonl import read_objects, read_rows
from judgeloop.models.chat import Chat
from judgeloop.records import Candidate, PreferencePair
from tiny import make_base_model

Command = Callable[..., subprocess.CompletedProcess[str]]
QWEN3 = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"


def test_a_base_model_goes_through_the_loop(
    make_config: Callable[..., Path], in_process: Command, tmp_path: Path
) -> None:
    model = make_base_model(tmp_path / "base")
    refused = in_process("run", str(make_config(model=str(model), iterations=1)), "--out", str(tmp_path / "no"))
    assert refused.returncode == 2
    assert "as base models have none; set chat_template: plain" in refused.stderr
    assert "Traceback" not in refused.stderr

    out = tmp_path / "run"
    config = make_config(
        model=str(model), chat_template="plain", iterations=1, system_prompt="Be brief.",
        # All of a judgement is learnt, its end too: a model of random weights has to learn to end an answer.
        sft={"learning_rate": 1e-3, "batch_size": 8, "max_length": 2000, "eft_loss": "all"},
    )  # fmt: skip
    done = in_process("run", str(config), "--out", str(out))
    assert done.returncode == 0, done.stderr
    made = AutoTokenizer.from_pretrained(out / "M2" / "model")
    chat = Chat.load(out / "M2" / "model")
    assert chat.check() == []
    ids = chat.prompt_ids([{"role": "user", "content": "What is rain?"}])
    assert made.decode(ids) == "<s>User:\nWhat is rain?\n\nAssistant:\n"
    candidates = read_rows(out / "M2" / "candidates.jsonl", Candidate)
    assert {row.finish_reason for row in candidates if row.token_ids[-1] == made.eos_token_id} == {"stop"}
    assert read_rows(out / "M2" / "pairs.jsonl", PreferencePair)


def test_a_thought_is_kept_apart_and_neither_judged_nor_trained_on(
    make_config: Callable[..., Path], in_process: Command, tmp_path: Path
) -> None:
    model = make_base_model(tmp_path / "qwen3", "qwen3", QWEN3.read_text(encoding="utf-8"), ["<|endoftext|>"])
    replies = [
        {"match": "(?s).", "reply": ["<think>hm, SECRET</think>\n\nOne answer.", "Another one, longer.", "A third."]}
    ]
    script = tmp_path / "script.jsonl"
    script.write_text("".join(json.dumps(row) + "\n" for row in replies), encoding="utf-8")
    out = tmp_path / "run"
    config = make_config(
        model=str(model),
        thinking="on",
        iterations=1,
        engine={"kind": "scripted", "script": str(script)},
        candidates={"count": 3, "sampling": {"max_new_tokens": 60}},
    )
    done = in_process("run", str(config), "--out", str(out))
    assert done.returncode == 0, done.stderr
    rows = read_rows(out / "M2" / "candidates.jsonl", Candidate)
    assert {row.text for row in rows} == {"One answer.", "Another one, longer.", "A third."}
    assert {row.thought for row in rows if row.text == "One answer."} == {"hm, SECRET"}
    pairs = list(read_objects(out / "M2" / "pairs.jsonl"))
    assert pairs
    assert not any("SECRET" in json.dumps(pair) for _, pair in pairs)
    assert json.loads((out / "M0" / "model.json").read_text())["date"]
    trained = json.loads((out / "M2" / "train.json").read_text())
    assert trained["responses_from_text"] == 2 * trained["rows"]  # not the generated ids, for they contain the thought
