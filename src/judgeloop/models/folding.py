"""Conversations changed so that a chat template takes them, by what it refuses:

"system": a system message; "later system": one that is not the first message; "repeated role": two turns of one role
that follow each other; "earlier turns": it takes them, and leaves them out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from judgeloop.records import Message


def notes(refused: Collection[str]) -> list[str]:
    """What becomes of conversations, in words."""
    said = []
    if "system" in refused:
        said.append("takes no system message: its text goes into the first user's turn")
    elif "later system" in refused:
        said.append("takes a system message only at the start: a later one goes into the next user's turn")
    if "repeated role" in refused:
        said.append("wants the roles to alternate: consecutive turns of one role are joined by a blank line")
    if "earlier turns" in refused:
        said.append("does not write the turns before the last: conversations lose them")
    return said


def fold(messages: Sequence[Message], refused: Collection[str], counts: Counter[str]) -> list[Message]:
    """The conversation as the template takes it. `counts`: how often something was changed, by kind."""
    if not refused:
        return list(messages)
    turns: list[Message] = []
    waiting: list[str] = []
    for index, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role == "system" and ("later system" if index else "system") in refused:
            waiting.append(content)
            counts["system"] += 1
            continue
        if role == "user" and waiting:
            content = "\n\n".join([*waiting, content])
            waiting = []
        turns.append({"role": role, "content": content})
    if waiting:
        turns.append({"role": "user", "content": "\n\n".join(waiting)})
    if "repeated role" not in refused:
        return turns
    merged: list[Message] = []
    for turn in turns:
        if merged and merged[-1]["role"] == turn["role"]:
            merged[-1] = {"role": turn["role"], "content": f"{merged[-1]['content']}\n\n{turn['content']}"}
            counts["repeated role"] += 1
        else:
            merged.append(turn)
    return merged
