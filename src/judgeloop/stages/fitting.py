"""Which prompts a model can answer: its chat template takes them, and it has positions for prompt and answer. The
others are left out, counted and said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.check_rows import check_rows
from judgeloop.models.facts import max_positions
from judgeloop.records import Prompt
from judgeloop.stages.models import Model

Asked = list[tuple[Prompt, tuple[int, ...]]]


def fitting(
    model: Model, chat: Chat, prompts: Sequence[Prompt], new_tokens: int, what: str
) -> tuple[Asked, dict[str, int]]:
    """The prompts that `model` can answer with up to `new_tokens` tokens, with their ids, and how many were left out by
    reason. `what` says which prompts they are.

    Raises InputError if there were prompts and none is left.
    """
    limit = max_positions(model.run.base_weights() if model.ours else model.folder)
    named = [(prompt.id, prompt.messages, "") for prompt in prompts]
    found = check_rows(chat, named, limit=limit, new_tokens=new_tokens)
    dropped = Counter(f"the chat template refuses it ({reason})" for reason in found.refused.values())
    if found.too_long:
        dropped[f"longer than the model's {limit} positions, with {new_tokens} new tokens"] = len(found.too_long)
    if prompts and not found.usable:
        reasons = "; ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise InputError(f"{what}: no prompt can be put to {model.name}: {reasons}; shorten them or max_new_tokens")
    for reason, count in dropped.items():
        print(f"{what}: {count} of {len(prompts)} left out: {reason}")
    asked = [(prompt, found.usable[prompt.id]) for prompt in prompts if prompt.id in found.usable]
    return asked, dict(dropped)
