"""Which conversations can be put to a model: every row is rendered before anything is trained on any of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.records import Message


@dataclass(frozen=True, slots=True)
class RowCheck:
    """Rows that can be used, by id, with the token ids of their prompts; those that the template refuses, with its
    reason; those that are too long, with their tokens; and how many were folded, by kind."""

    usable: dict[str, tuple[int, ...]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    too_long: dict[str, int] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)


def check_rows(
    chat: Chat, rows: Iterable[tuple[str, Sequence[Message], str]], *, limit: int | None, new_tokens: int = 0
) -> RowCheck:
    """Render rows of (id, prompt, response; empty if it has yet to be generated).

    A row is too long if prompt and response, or prompt and `new_tokens` tokens to be generated, are more than `limit`
    tokens, such as `facts.max_positions` of the model's folder.
    """
    found = RowCheck()
    before = dict(chat.template.folded)
    for name, prompt, response in rows:
        try:
            ids = tuple(chat.prompt_ids(prompt))
        except InputError as error:
            found.refused[name] = str(error)
            continue
        length = len(ids) + (len(chat.response_ids(response)) if response else new_tokens)
        if limit is not None and length > limit:
            found.too_long[name] = length
        else:
            found.usable[name] = ids
    found.folded.update(
        {
            kind: count - before.get(kind, 0)
            for kind, count in chat.template.folded.items()
            if count > before.get(kind, 0)
        }
    )
    return found
