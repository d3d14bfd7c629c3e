"""What is known by its value, where the column's name says nothing, and values as other tools write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.rated_rows import A, B, U, bot, user, write
from judgeloop.data.readers import read_ranked, read_supervised
from judgeloop.errors import InputError


def test_messages_under_any_name(tmp_path: Path) -> None:
    talk = [{"from": "user", "value": U}, {"from": "assistant", "value": B}, {"from": "user", "value": "More?"}]
    sets, _ = read_ranked(write(tmp_path / "r.jsonl", [{"trajectory": talk, "chosen": A, "rejected": B}]))
    assert [message["content"] for message in sets[0].messages] == [U, B, "More?"]
    (row,), _ = read_supervised(write(tmp_path / "s.jsonl", [{"interaction": [user(), bot()], "n": 1}]))
    assert row.completion[0]["content"] == A


def test_messages_beside_a_prompt_are_not_it(tmp_path: Path) -> None:
    rated = {"input": U, "chosen": A, "rejected": B, "labelling_prompt": [user("Rate them.")]}
    sets, _ = read_ranked(write(tmp_path / "r.jsonl", [rated]))
    assert sets[0].messages[0]["content"] == U


def test_a_pair_without_a_prompt_is_asked_for_it(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [{"chosen": f"{U} {A}", "rejected": f"{U} {B}"}])
    with pytest.raises(InputError, match=r"no column is known to be the prompt; .*\{prompt: \?\?\?\}"):
        read_ranked(path)


def test_a_chat_in_a_text(tmp_path: Path) -> None:
    chat = f"USER: {U}\n\n\nASSISTANT: {B} <|endoftext|>\n\n\nUSER: More?\n\n\nASSISTANT: {A} <|endoftext|>\n\n\n"
    call = 'USER: x?\n\n\nASSISTANT: <functioncall> {"name": "f"} <|endoftext|>\n\n\nFUNCTION RESPONSE: {}\n\n\n'
    rows = [{"system": "SYSTEM: Be kind.", "chat": text} for text in (chat, call + f"ASSISTANT: {A}")]
    (row,), account = read_supervised(write(tmp_path / "r.jsonl", rows))
    assert [message["content"] for message in row.prompt] == ["Be kind.", U, B, "More?"]
    assert (row.completion[0]["content"], account.dropped) == (A, {"conversation with tool calls": 1})


def test_chatml_without_its_tokens(tmp_path: Path) -> None:
    rows = [{"input": f"system\nBe kind.\nuser\n{U}\nassistant\n", "output": text, "score": score}
            for text, score in ((A, 1.0), (B, 0.0))]  # fmt: skip
    sets, _ = read_ranked(write(tmp_path / "r.jsonl", rows))
    assert [(message["role"], message["content"]) for message in sets[0].messages] == [
        ("system", "Be kind."), ("user", U)
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["user\nlists one name a line", f"Which is it?\nuser\n{U}\nassistant\n"])
def test_a_text_that_holds_such_words_stays_whole(text: str, tmp_path: Path) -> None:
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", [{"prompt": text, "response": A}]))
    assert row.prompt[0]["content"] == text


def test_a_task_is_asked_with_its_definition(tmp_path: Path) -> None:
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", [{"definition": "Answer.", "inputs": U, "targets": A}]))
    assert row.prompt[0]["content"] == f"Answer.\n\n{U}"


def test_nan_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(
        f'{{"instruction": "{U}", "input": NaN, "system": NaN, "output": "{A}"}}\n'
        '{"instruction": "x?", "input": NaN, "system": NaN, "output": NaN}\n',
        encoding="utf-8",
    )
    (row,), account = read_supervised(path)
    assert (row.prompt, account.dropped) == ([user()], {"empty response": 1})


def test_an_answer_alone_in_a_list(tmp_path: Path) -> None:
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", [{"instruction": U, "output": [A]}]))
    assert row.completion[0]["content"] == A
    with pytest.raises(InputError, match="output"):
        read_supervised(write(tmp_path / "s.jsonl", [{"instruction": U, "output": [A, B]}]))
