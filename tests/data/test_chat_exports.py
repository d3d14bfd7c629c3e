"""What chat programs and tracers export: trees of messages, and columns one level down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.rated_rows import A, B, U, bot, user, write
from judgeloop.data.readers import read_prompts, read_supervised
from judgeloop.errors import InputError


def node(parent: str | None, role: str | None, *parts: Any, **more: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": list(parts)}
    message = None if role is None else {"author": {"role": role}, "content": content, "recipient": "all", **more}
    return {"parent": parent, "children": [], "message": message}


def chat(**nodes: dict[str, Any]) -> dict[str, Any]:
    """A conversation as ChatGPT exports it, which showed the last of these nodes."""
    mapping = {
        "root": node(None, None),
        "hidden": node("root", "system", "", metadata={"is_visually_hidden_from_conversation": True}),
        "asked": node("hidden", "user", U),
        **nodes,
    }
    return {"title": "Rain", "create_time": 1.5, "mapping": mapping, "current_node": list(mapping)[-1]}


def test_the_branch_that_was_shown_last_counts(tmp_path: Path) -> None:
    row = chat(bad=node("asked", "assistant", B), good=node("asked", "assistant", A))
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([row]))
    (found,), account = read_supervised(path)
    assert (found.prompt, found.completion) == ([user()], [bot()])
    assert account.unread == {"title": 1, "create_time": 1}
    assert read_prompts(path)[0][0].messages == [user()]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            node("asked", "assistant", A, metadata={"finish_details": {"type": "max_tokens"}}),
            "last turn that its label calls bad",
        ),
        (node("asked", "assistant", "search()", recipient="browser"), "tool calls"),
        (node("asked", "assistant", {"content_type": "image_asset_pointer"}), "images or other media"),
        (node("asked", "assistant", ""), "empty message"),
    ],
)  # fmt: skip
def test_answers_of_an_export_that_cannot_serve(answer: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"no usable row \(1 .*({reason})"):
        read_supervised(write(tmp_path / "rows.jsonl", [chat(answer=answer)]))


def test_a_thought_is_kept_apart(tmp_path: Path) -> None:
    thought = node("asked", "assistant")
    thought["message"]["content"] = {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "Rain …"}]}
    row = chat(thought=thought, answer=node("thought", "assistant", A))
    (found,), account = read_supervised(write(tmp_path / "rows.jsonl", [row]))
    assert (found.completion, account.thoughts) == ([bot()], 1)


@pytest.mark.parametrize(
    "row",
    [
        {"id": "x", "chat": {"models": ["m"], "messages": [user(), bot()]}},
        {"inputs": {"question": U}, "outputs": {"answer": A}, "id": "x"},
        {"inputs": {"messages": [user(), bot()]}, "outputs": {}},
        {"inputs": {"messages": [user()]}, "outputs": {"messages": [bot()]}},
        {
            "request": {"model": "m", "messages": [user()]},
            "response": {"id": "x", "choices": [{"index": 0, "message": bot(), "finish_reason": "stop"}]},
        },
    ],
)
def test_columns_one_level_down(row: dict[str, Any], tmp_path: Path) -> None:
    (found,), _ = read_supervised(write(tmp_path / "rows.jsonl", [row]))
    assert (found.prompt, found.completion) == ([user()], [bot()])


def test_a_call_that_was_cut_off(tmp_path: Path) -> None:
    said = {"choices": [{"message": bot(), "finish_reason": "length"}]}
    with pytest.raises(InputError, match="1 last turn that its label calls bad"):
        read_supervised(
            write(tmp_path / "rows.jsonl", [{"request_body": {"messages": [user()]}, "response_body": said}])
        )


def test_columns_of_one_name_stay_where_they_are(tmp_path: Path) -> None:
    row = {"inputs": {"text": U}, "outputs": {"text": A}}
    with pytest.raises(InputError, match="'outputs' is an object"):
        read_supervised(write(tmp_path / "rows.jsonl", [row]))
