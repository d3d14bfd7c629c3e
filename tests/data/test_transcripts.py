"""Conversations in one string: the marks of each chat format, and texts that only speak of marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.data.control_tokens import without_tokens_around
from judgeloop.data.readers import read_prompts, read_ranked, read_supervised
from judgeloop.data.transcripts import split_transcript
from judgeloop.errors import InputError

TURNS = ["system: Be brief.", "user: Why?", "assistant: So."]
STYLES = {
    "ChatML": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
    "<|im_start|>assistant\nSo.<|im_end|>",
    "Phi-4": "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Why?<|im_end|>"
    "<|im_start|>assistant<|im_sep|>So.<|im_end|>",
    "Llama 4": "<|begin_of_text|><|header_start|>system<|header_end|>\n\nBe brief.<|eot|>"
    "<|header_start|>user<|header_end|>\n\nWhy?<|eot|><|header_start|>assistant<|header_end|>\n\nSo.<|eot|>",
    "DeepSeek": "<｜begin▁of▁sentence｜>Be brief.<｜User｜>Why?<｜Assistant｜>So.<｜end▁of▁sentence｜>",
    "DeepSeek, no thought": "<｜begin▁of▁sentence｜>Be brief."
    "<｜User｜>Why?<｜Assistant｜></think>So.<｜end▁of▁sentence｜>",
    "harmony": "<|start|>system<|message|>Be brief.<|end|><|start|>user<|message|>Why?<|end|><|start|>assistant"
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>So.<|return|>",
    "harmony, a developer": "<|start|>system<|message|>Be<|end|><|start|>developer<|message|>brief.<|end|>"
    "<|start|>user<|message|>Why?<|end|><|start|>assistant<|channel|>final<|message|>So.<|return|>",
    "Command": "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>"
    "<|USER_TOKEN|>Why?<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>So.<|END_OF_TURN_TOKEN|>",
    "Granite": "<|start_of_role|>system<|end_of_role|>Be brief.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>"
    "Why?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>So.<|end_of_text|>",
    "GLM": "[gMASK]<sop><|system|>\nBe brief.<|user|>\nWhy?<|assistant|>\nSo.",
    "Llama 2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhy? [/INST] So. </s>",
    "Mistral": "<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]Why?[/INST]So.</s>",
    "a block before the mark": "<<SYS>>\nBe brief.\n<</SYS>>\n\n[INST] Why? [/INST] So.",
}


@pytest.mark.parametrize("name", STYLES)
def test_marks_split_the_turns(name: str, tmp_path: Path) -> None:
    text = STYLES[name]
    turns = ["system: Be\n\nbrief.", *TURNS[1:]] if name == "harmony, a developer" else TURNS
    path = write(tmp_path, {"text": text})
    (row,), account = read_supervised(path)
    assert [f"{m['role']}: {m['content']}" for m in (*row.prompt, *row.completion)] == turns
    assert account.thoughts == (name == "harmony")
    asked = text[: text.index("<|channel|>") if name.startswith("harmony") else text.rindex("So.")].removesuffix(
        "</think>"
    )
    (row,), _ = read_supervised(write(tmp_path, {"prompt": asked, "response": "So."}))
    assert [f"{m['role']}: {m['content']}" for m in (*row.prompt, *row.completion)] == turns


@pytest.mark.parametrize("text", ["<s>[INST] Why?", "<｜begin▁of▁sentence｜><｜User｜>Why?", "<|user|>\nWhy?"])
def test_a_single_turn(text: str) -> None:
    assert split_transcript(text) == [{"role": "user", "content": "Why?"}]


def test_a_turn_that_was_only_opened() -> None:
    assert split_transcript("<|start|>user<|message|>Why?<|end|><|start|>assistant") == [
        {"role": "user", "content": "Why?"}
    ]


@pytest.mark.parametrize(
    "text",
    [
        "What does the [INST] tag do in Llama prompts?",
        "[INST] and what else begins a prompt?",
        "Explain the <|user|> token",
        "<|user|> is a token of which model?",
        "Explain <start_of_turn>user in Gemma's template",
        "In ChatML, what follows <|im_start|>user and what ends it?",
        "What is <|im_start|>user\nfor? And <|im_end|>?",
        "Explain <extra_id_1>User in Nemotron's template",
        "A line\n<extra_id_1>User\nWhat is the mark above?",
        "Is <｜User｜> one token, and <｜Assistant｜> too?",
        "Which model writes <|start|>user<|message|>Hi<|end|>?",
    ],
)
def test_a_text_that_speaks_of_a_mark_is_whole(text: str, tmp_path: Path) -> None:
    assert split_transcript(text) is None
    (prompt,), _ = read_prompts(write(tmp_path, {"prompt": text}))
    assert [m["content"] for m in prompt.messages] == [text]


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>tool\n{}<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>",
        "<|start|>user<|message|>Why?<|end|><|start|>assistant<|channel|>commentary to=f<|message|>{}<|call|>",
    ],
)
def test_tools_are_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 conversation with tool calls"):
        read_supervised(write(tmp_path, {"prompt": text, "response": "So."}))


ENDED = ["{}<|im_end|>\n", "{}<|eot_id|>", " {}<|endoftext|>", "{}</s>", "<s>{}</s>", "{}<end_of_turn>\n", "{}<|end|>",
         "{}<|im_end|><|endoftext|><pad><pad>", "<｜begin▁of▁sentence｜>{}<｜end▁of▁sentence｜>"]  # fmt: skip


@pytest.mark.parametrize("form", ENDED)
def test_tokens_around_an_answer_are_no_words_of_it(form: str, tmp_path: Path) -> None:
    good, bad = form.format("good"), form.format("bad")
    rows: list[dict[str, Any]] = [
        {"prompt": "a?", "chosen": good, "rejected": bad},
        {"prompt": "a?", "generations": [good, bad], "ratings": [5, 1]},
        {"prompt": "a?", "response_a": good, "response_b": bad, "winner": "a"},
        {"prompt": "a?", "chosen": [{"role": "assistant", "content": good}],
         "rejected": [{"role": "assistant", "content": bad}]},
    ]  # fmt: skip
    for row in rows:
        (ranked,), _ = read_ranked(write(tmp_path, row))
        assert [response["text"].strip() for response in ranked.responses] == ["good", "bad"]
    for row in ({"prompt": "a?", "completion": good}, {"messages": [
        {"role": "user", "content": "a?"}, {"role": "assistant", "content": good}]}):  # fmt: skip
        (made,), _ = read_supervised(write(tmp_path, row))
        assert made.completion[0]["content"].strip() == "good"


@pytest.mark.parametrize(
    "text",
    [
        "HTML: <s>old</s>",
        "<s>old</s> new",
        "<s>a</s> and <s>b</s>",
        "a `<|im_end|>`",
        " plain\n",
        "<|im_end|> ends it.",
    ],
)
def test_tokens_within_an_answer_stay(text: str) -> None:
    assert without_tokens_around(text) == text


def test_a_thought_between_tokens(tmp_path: Path) -> None:
    text = "<|begin_of_thought|>\n\nHm.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nSo.\n\n<|end_of_solution|>"
    (row,), account = read_supervised(write(tmp_path, {"prompt": "Why?", "response": text}))
    assert (row.completion[0]["content"], account.thoughts) == ("So.", 1)
    (row,), _ = read_supervised(tmp_path / "rows.jsonl", thoughts="train")
    assert row.completion[0]["content"] == "<think>\nHm.\n</think>\n\nSo."


@pytest.mark.parametrize("text", ["<|endoftext|>", "<pad><pad>", "<|im_end|>\n"])
def test_tokens_alone_are_no_answer(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 response of padding alone"):
        read_supervised(write(tmp_path, {"prompt": "Why?", "response": text}))


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
