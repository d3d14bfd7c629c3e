"""Do tokenizer and chat template fit together, so that what is trained on is exactly what is generated?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from judgeloop.models.opening import begins
from judgeloop.models.template import PROBE, Template
from judgeloop.records import Message

_ASKED: list[Message] = [{"role": "user", "content": "Name a colour."}]


class TemplatedTokenizer(Protocol):
    """What of `models.chat.Chat` is checked."""

    tokenizer: Any
    template: Template
    rows: int | None
    close_id: int
    end_ids: tuple[int, ...]

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]: ...
    def text_ids(self, text: str) -> list[int]: ...
    def response_ids(self, text: str) -> list[int]: ...


def problems(chat: TemplatedTokenizer) -> list[str]:
    """Problems, each with its remedy.

    Checked: exactly one BOS at the start if the model has one; the template opens an assistant's turn when it asks as
    it does in a conversation; an EOS closes the turn; the tokens of prompt and response are those of the whole; the
    weights know them all.
    """
    found = [*_bos(chat), *_turn(chat), *_unknown(chat)]
    if chat.close_id == chat.tokenizer.unk_token_id:
        found.append("the token that closes a turn is the unknown token; add it to the tokenizer")
    return found


def _bos(chat: TemplatedTokenizer) -> list[str]:
    bos = chat.tokenizer.bos_token_id
    if bos is None:
        return []
    prompt = chat.prompt_ids(_ASKED)
    leading = next((place for place, token in enumerate(prompt) if token != bos), len(prompt))
    if leading > 1:
        return [
            f"a prompt starts with {leading} BOS tokens; remove bos_token from the chat template or set "
            "add_bos_token to false in tokenizer_config.json"
        ]
    return []


def _unknown(chat: TemplatedTokenizer) -> list[str]:
    written = [*chat.prompt_ids(_ASKED), *chat.response_ids(PROBE)]
    beyond = [token for token in written if chat.rows is not None and token >= chat.rows]
    if not beyond:
        return []
    return [
        f"the chat template writes {chat.tokenizer.decode(beyond[:1])!r} (token {beyond[0]}), and the weights know "
        f"{chat.rows} tokens; use the tokenizer that belongs to these weights, or resize the embeddings and save the "
        "model"
    ]


def _turn(chat: TemplatedTokenizer) -> list[str]:
    turn = chat.template.turn
    opened = turn.prompt + turn.opening
    if not begins(turn.prompt, turn.whole) and not (turn.thinks or turn.opening):
        place = next(
            (n for n, (a, b) in enumerate(zip(turn.prompt, turn.whole, strict=False)) if a != b), len(turn.whole)
        )
        return [
            "a prompt's tokens are not a prefix of prompt + response: the template opens the assistant's turn with "
            f"{turn.prompt[place : place + 30]!r} when it asks, and writes {turn.whole[place : place + 30]!r} there in "
            "a conversation; use a template whose generation prompt equals the start of the assistant's turn"
        ]
    if not set(chat.text_ids(turn.closing)) & set(chat.end_ids):
        return [
            "no EOS closes an assistant turn; end the turn with {{ eos_token }} in the chat template, or name "
            "the closing token as eos_token_id in generation_config.json"
        ]
    for answer in (PROBE, "Blue.", "5"):
        whole = chat.text_ids(f"{opened}{turn.lead}{answer}{turn.closing}")
        trained = [*chat.text_ids(opened), *chat.response_ids(answer)]
        place = next((n for n, (a, b) in enumerate(zip(trained, whole, strict=False)) if a != b), len(whole))
        if place < len(trained):
            ours, theirs = (
                repr(chat.tokenizer.decode(ids[place : place + 1])) if place < len(ids) else "nothing"
                for ids in (trained, whole)
            )
            return [
                "tokens merge across the start or the end of the response, so what is trained is not what is generated "
                f"(the first that differs: {ours} in training, {theirs} in the template's text); "
                "end the template's generation prompt with a special token or a line break"
            ]
    return []
