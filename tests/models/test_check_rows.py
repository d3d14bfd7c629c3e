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
    found = check_rows(chat, rows, limit=length - 1, new_tokens=10)
    assert list(found.usable) == ["plain", "system", "twice"]
    assert found.too_long == {"long": length}
    assert list(found.refused) == ["begun by the assistant"]
    assert "must alternate" in found.refused["begun by the assistant"]
    assert found.folded == {"system": 1, "repeated role": 1}
    assert check_rows(chat, rows, limit=None).too_long == {}
    asked = len(chat.prompt_ids([user]))
    assert check_rows(chat, [("a", [user], "")], limit=asked + 9, new_tokens=10).too_long == {"a": asked + 10}
