"""Chat messages as interfaces and trainers write them: system messages, parts, marks of what is not to be learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.data.readers import read_both, read_prompts, read_ranked, read_supervised
from judgeloop.errors import InputError

USER = {"role": "user", "content": "Why?"}
BOT = {"role": "assistant", "content": "So."}
TURNS = ["user: Why?", "assistant: So."]
WITH_SYSTEM = ["system: Be brief.", *TURNS]


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def part(**fields: Any) -> list[dict[str, Any]]:
    return [fields]


FORMS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a blank system message": ({"messages": [{"role": "system", "content": ""}, USER, BOT]}, TURNS),
    "a null system message": ({"messages": [{"role": "system", "content": None}, USER, BOT]}, TURNS),
    "a blank system part": (
        {"messages": [{"role": "system", "content": part(type="text", text="")}, USER, BOT]},
        TURNS,
    ),
    "a blank system column": ({"system": " ", "messages": [USER, BOT]}, TURNS),
    "OpenAI responses": (
        {"messages": [{"role": "user", "content": part(type="input_text", text="Why?")},
                      {"role": "assistant", "content": part(type="output_text", text="So.")}]}, TURNS
    ),
    "Bedrock": (
        {"system": part(text="Be brief."), "messages": [
            {"role": "user", "content": part(text="Why?")},
            {"role": "assistant", "content": part(text="So.")}]}, WITH_SYSTEM
    ),
    "Gemini": (
        {"systemInstruction": {"parts": part(text="Be brief.")}, "contents": [
            {"role": "user", "parts": part(text="Why?")},
            {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"text": "So."}]}]}, WITH_SYSTEM
    ),
    "Vertex": (
        {"context": "Be brief.", "messages": [{"author": "user", "content": "Why?"},
                                              {"author": "bot", "content": "So."}]}, WITH_SYSTEM
    ),
    "UltraChat": ({"id": "1", "data": ["Hi.", "Ho.", "Why?", "So."]}, ["user: Hi.", "assistant: Ho.", *TURNS]),
    "an instruction in its input": ({"instruction": "", "input": "Why?", "output": "So."}, TURNS),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_messages(name: str, tmp_path: Path) -> None:
    row, said = FORMS[name]
    (made,), account = read_supervised(write(tmp_path, row))
    assert [f"{m['role']}: {m['content']}" for m in (*made.prompt, *made.completion)] == said
    assert (account.unread, account.thoughts) == ({}, int(name == "Gemini"))
    (prompt,), _ = read_prompts(tmp_path / "rows.jsonl")
    assert prompt.messages == made.prompt


@pytest.mark.parametrize("side", [[USER, BOT], [{"role": "system", "content": None}, USER, BOT]])
def test_blank_system_messages_of_sides(side: list[dict[str, Any]], tmp_path: Path) -> None:
    blank = {"role": "system", "content": ""}
    row = {"chosen": [blank, USER, BOT], "rejected": [*side[:-1], {"role": "assistant", "content": "No."}]}
    (ranked,), _ = read_ranked(write(tmp_path, row))
    assert ranked.messages == [USER]


def test_a_conversation_of_a_blank_system_message_is_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 empty conversation"):
        read_supervised(write(tmp_path, {"messages": [{"role": "system", "content": ""}]}))


@pytest.mark.parametrize(
    "mark",
    [
        {"training": False},
        {"train_on_turn": False},
        {"loss_mask": 0},
        {"loss": False},
        {"masked": True},
        {"trainable": False},
        {"train": "false"},
        {"weight": 0},
    ],
)
def test_turns_that_are_not_to_be_trained_on(mark: dict[str, Any], tmp_path: Path) -> None:
    taken = {name: not value if isinstance(value, bool) else 1 for name, value in mark.items()}
    rows = [{"messages": [USER, {**BOT, **mark}]}, {"messages": [{**USER, "content": "a?"}, {**BOT, **taken}]}]
    (row,), account = read_supervised(write(tmp_path, *rows))
    assert (row.prompt[0]["content"], account.dropped) == ("a?", {"last turn has weight 0": 1})
    rows = [{"conversation": [{"input": "Why?", "output": "So.", **mark}]}]
    with pytest.raises(InputError, match="1 last turn has weight 0"):
        read_supervised(write(tmp_path, *rows))
    sides = {"chosen": [USER, {**BOT, **mark}], "rejected": [USER, {**BOT, "content": "No."}]}
    with pytest.raises(InputError, match="1 answer of weight 0"):
        read_supervised(write(tmp_path, sides))
    (ranked,), _, _ = read_both(tmp_path / "rows.jsonl")
    assert ranked.responses[0] == {"text": "So.", "rank": 0, "imitable": False}


TOOLS, MEDIA = "conversation with tool calls", "conversation with images or other media"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [USER, {**BOT, "content": part(type="tool_use", name="f", input={})}]}, TOOLS),
        ({"messages": [{"role": "user", "content": part(type="tool_result", content="4")}, BOT]}, TOOLS),
        ({"messages": [USER, {**BOT, "content": part(toolUse={"name": "f"})}]}, TOOLS),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "text", "text": "x"}]}, BOT]},
            MEDIA,
        ),
        ({"messages": [{"role": "user", "content": [{"image": {}}, {"text": "x"}]}, BOT]}, MEDIA),
        ({"messages": [{"role": "user", "content": "<image>\nWhy?"}, BOT]}, MEDIA),
        ({"prompt": "Why?\n<image>", "response": "So."}, MEDIA),
        ({"prompt": "Why?", "response": "So.", "image": "a.jpg"}, MEDIA),
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No.", "images": [{"bytes": "x", "path": None}]}, MEDIA),
        ({"prompt": "Why?", "response": "[deleted]"}, "answer that was deleted"),
        ({"messages": [USER, {**BOT, "content": "[removed]"}]}, "answer that was deleted"),
        ({"prompt": "Why?", "chosen": " [Deleted] ", "rejected": "No."}, "answer that was deleted"),
    ],
)
def test_what_is_dropped_for_which_reason(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"no usable row \(1 {reason}\)"):
        read_supervised(write(tmp_path, row))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "response": "So.", "image": None, "images": []},
        {"prompt": "Why?", "response": "So.", "image": {"bytes": None, "path": None}},
        {"prompt": "Why does <image> need a href?", "response": "So."},
        {"prompt": "Why?", "response": "It says [deleted] there."},
    ],
)
def test_what_only_looks_so_is_taken(row: dict[str, Any], tmp_path: Path) -> None:
    rows, account = read_supervised(write(tmp_path, row))
    assert (len(rows), account.dropped, account.unread) == (1, {}, {})


def test_the_loser_to_a_deleted_answer_is_not_learnt(tmp_path: Path) -> None:
    row = {"history": "Why?", "human_ref_A": "[deleted]", "human_ref_B": "No.", "score_A": 9, "score_B": 3, "labels": 1}
    with pytest.raises(InputError, match="1 the answer that won is empty"):
        read_supervised(write(tmp_path, row))
