from __future__ import annotations

from pathlib import Path

import trl

from judgeloop.models.chat import Chat
from judgeloop.models.check_rows import check_rows
from judgeloop.records import Message
from tiny import write_tokenizer

GEMMA = Path(trl.__file__).parent / "chat_templates" / "gemma.jinja"


def test_every_row_is_kept_folded_or_counted(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, GEMMA.read_text(encoding="utf-8"))
    chat = Chat.load(tmp_path)
    system: Message = {"role": "system", "content": "Be brief."}
    user: Message = {"role": "user", "content": "What is rain?"}
    said: Message = {"role": "assistant", "content": "Hello."}
    rows = [
        ("plain", [user], "Water."),
        ("system", [system, user], ""),
        ("twice", [user, user], ""),
        ("begun by the assistant", [said, user], ""),
        ("long", [user], "Water. " * 50),
    ]
    length = len(chat.prompt_ids([user])) + len(chat.response_ids("Water. " * 50))
    chat.positions = length - 1
    found = check_rows(chat, rows, new_tokens=10)
    assert list(found.usable) == ["plain", "system", "twice"]
    assert list(found.left_out) == ["begun by the assistant", "long"]
    assert "must alternate" in found.left_out["begun by the assistant"]
    assert found.left_out["long"] == f"longer than the model's {length - 1} positions"
    assert found.folded == {"system": 1, "repeated role": 1}
    chat.positions = None
    assert list(check_rows(chat, rows).left_out) == ["begun by the assistant"]
    found = check_rows(chat, rows, max_length=length - 1, key="sft.max_length")
    assert found.reasons[f"longer than sft.max_length ({length - 1} tokens)"] == 1
    asked = len(chat.prompt_ids([user]))
    for more, fits in ((9, False), (10, True)):
        chat.positions = asked + more
        assert bool(check_rows(chat, [("a", [user], "")], new_tokens=10).usable) == fits
