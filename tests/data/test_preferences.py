"""Preference pairs: what stands before the sides, and sides of several answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.data.readers import read_ranked, read_supervised
from judgeloop.errors import InputError

SYSTEM, USER = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}
EARLIER = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho."}]


def bot(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sides(*before: dict[str, str]) -> dict[str, Any]:
    return {"chosen": [*before, bot("So.")], "rejected": [*before, bot("No.")]}


def told() -> dict[str, Any]:
    return {side: f"\n\nHuman: Why?\n\nAssistant: {text}" for side, text in (("chosen", "So."), ("rejected", "No."))}


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"system": "Be brief.", **sides(USER)}, [SYSTEM, USER]),
        ({"system": "Be brief.", **told()}, [SYSTEM, USER]),
        ({"system": "Be long.", **sides(SYSTEM, USER)}, [SYSTEM, USER]),
        ({"system": "Be brief.", "prompt": "Why?", **sides(*EARLIER, USER)}, [SYSTEM, *EARLIER, USER]),
        ({"prompt": [SYSTEM, USER], **sides(*EARLIER, USER)}, [SYSTEM, *EARLIER, USER]),
        ({"prompt": [SYSTEM, USER], **sides(USER)}, [SYSTEM, USER]),
        ({"prompt": "", **sides(USER)}, [USER]),
        ({"prompt": " ", **told()}, [USER]),
        (
            {"input": {"messages": [SYSTEM, USER]}, "preferred_output": [bot("So.")],
             "non_preferred_output": [bot("No.")]}, [SYSTEM, USER]
        ),
        (
            {"input": {"messages": [SYSTEM, USER], "tools": []}, "preferred_output": [bot("So.")],
             "non_preferred_output": [bot("No.")]}, [SYSTEM, USER]
        ),
    ],
)  # fmt: skip
def test_what_stands_before_the_sides(row: dict[str, Any], prompt: list[dict[str, str]], tmp_path: Path) -> None:
    (ranked,), account = read_ranked(write(tmp_path, row))
    assert (ranked.messages, [r["text"] for r in ranked.responses]) == (prompt, ["So.", "No."])
    assert account.unread == {}
    (made,), _ = read_supervised(tmp_path / "rows.jsonl")
    assert made.prompt == prompt


@pytest.mark.parametrize(
    ("chosen", "rejected", "ranks"),
    [
        (["So."], ["No.", "Never.", "Not."], [0, 1, 1, 1]),
        (["So.", "Thus."], ["No.", "Never."], [0, 0, 1, 1]),
        (["So.", " "], ["No.", "Never."], [0, 1, 1]),
    ],
)
def test_sides_of_several_answers(chosen: list[str], rejected: list[str], ranks: list[int], tmp_path: Path) -> None:
    path = write(tmp_path, {"prompt": "Why?", "chosen": chosen, "rejected": rejected})
    (ranked,), account = read_ranked(path)
    assert [r["text"] for r in ranked.responses] == [text for text in (*chosen, *rejected) if text.strip()]
    assert [r["rank"] for r in ranked.responses] == ranks
    assert account.dropped == ({} if len(ranks) == 4 else {"empty response in a set": 1})
    (made,), _ = read_supervised(path)
    assert made.completion == [bot("So.")]


def test_lists_in_which_the_prompt_is_a_turn_are_conversations(tmp_path: Path) -> None:
    row = {"prompt": "Why?", "chosen": ["Hi.", "Ho.", "Why?", "So."], "rejected": ["Hi.", "Ho.", "Why?", "No."]}
    (ranked,), _ = read_ranked(write(tmp_path, row))
    assert (ranked.messages, len(ranked.responses)) == ([*EARLIER, USER], 2)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Why?", "chosen": ["So.", "No."], "rejected": ["No."]}, "chosen and rejected are the same"),
        ({"prompt": "Why?", "chosen": ["So.", "Thus."], "rejected": ["", ""]}, "fewer than two responses"),
        ({"prompt": "Why?", "chosen": ["Why?", "So."], "rejected": ["No.", "Not."]}, "do not answer the same prompt"),
        ({"prompt": "", "chosen": "So.", "rejected": "No."}, "empty prompt"),
    ],
)
def test_what_cannot_be_known_is_dropped(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason):
        read_ranked(write(tmp_path, row))


def test_a_post_that_was_summarised(tmp_path: Path) -> None:
    row = {"info": {"id": "x", "post": "Why?"}, "summaries": [{"text": "No."}, {"text": "So."}], "choice": 1}
    (ranked,), account = read_ranked(write(tmp_path, row))
    assert (ranked.messages, [r["text"] for r in ranked.responses], account.unread) == ([USER], ["So.", "No."], {})


def test_a_system_message_before_compared_conversations(tmp_path: Path) -> None:
    said = [[*EARLIER, USER, bot(text)] for text in ("So.", "No.")]
    row = {"prompt": [SYSTEM, USER], "conversation_a": said[0], "conversation_b": said[1], "winner": "model_a"}
    (ranked,), _ = read_ranked(write(tmp_path, row))
    assert ranked.messages == [SYSTEM, *EARLIER, USER]


@pytest.mark.parametrize("beside", [{"contents": ["a", "b"]}, {"data": ["a", "b"]}, {"info": "x"}])
def test_names_that_say_little_are_no_conversation(beside: dict[str, Any], tmp_path: Path) -> None:
    (row,), account = read_supervised(write(tmp_path, {"prompt": "Why?", "response": "So.", **beside}))
    assert (row.prompt, account.unread) == ([USER], dict.fromkeys(beside, 1))
