"""Which conversations can be put to a model: every row is rendered before anything is trained on any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.records import Message


@dataclass(frozen=True, slots=True)
class RowCheck:
    """Rows that can be used, by id, with the token ids of their prompts; why the others cannot, by id; and how many
    prompts were folded, by kind."""

    usable: dict[str, tuple[int, ...]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows cannot be used, by reason."""
        return dict(Counter(self.left_out.values()))


def check_rows(
    chat: Chat,
    rows: Iterable[tuple[str, Sequence[Message], str]],
    *,
    new_tokens: int = 0,
    max_length: int | None = None,
    key: str = "max_length",
) -> RowCheck:
    """Render rows of (id, prompt, response; empty if it has yet to be generated).

    A row is too long if prompt and response, or prompt and `new_tokens` tokens to be generated, are more tokens than
    the model has positions for, or more than `max_length`, which is what the config key `key` says.
    """
    found = RowCheck()
    before = dict(chat.template.folded)
    for name, prompt, response in rows:
        try:
            ids = tuple(chat.prompt_ids(prompt))
        except InputError as error:
            found.left_out[name] = f"the chat template refuses it ({error})"
            continue
        length = len(ids) + (len(chat.response_ids(response)) if response else new_tokens)
        if chat.positions is not None and length > chat.positions:
            new = f", with {new_tokens} new tokens" if new_tokens and not response else ""
            found.left_out[name] = f"longer than the model's {chat.positions} positions{new}"
        elif max_length is not None and length > max_length:
            found.left_out[name] = f"longer than {key} ({max_length} tokens)"
        else:
            found.usable[name] = ids
    for kind, count in chat.template.folded.items():
        if count > before.get(kind, 0):
            found.folded[kind] = count - before.get(kind, 0)
    return found
