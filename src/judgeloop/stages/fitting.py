"""Which prompts a model can answer: its chat template takes them, and it has positions for prompt and answer. The
others are left out, counted and said."""

from __future__ import annotations

from collections.abc import Sequence

from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.check_rows import check_rows
from judgeloop.records import Prompt

Asked = list[tuple[Prompt, tuple[int, ...]]]


def fitting(
    name: str, chat: Chat, prompts: Sequence[Prompt], new_tokens: int, what: str
) -> tuple[Asked, dict[str, int]]:
    """The prompts that the model `name` can answer with up to `new_tokens` tokens, with their ids, and how many were
    left out by reason. `what` says which prompts they are.

    Raises InputError if there were prompts and none is left.
    """
    found = check_rows(chat, [(prompt.id, prompt.messages, "") for prompt in prompts], new_tokens=new_tokens)
    dropped = found.reasons
    if prompts and not found.usable:
        reasons = "; ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise InputError(f"{what}: no prompt can be put to {name}: {reasons}; shorten them or max_new_tokens")
    for reason, count in dropped.items():
        print(f"{what}: {count} of {len(prompts)} left out: {reason}")
    asked = [(prompt, found.usable[prompt.id]) for prompt in prompts if prompt.id in found.usable]
    return asked, dropped
