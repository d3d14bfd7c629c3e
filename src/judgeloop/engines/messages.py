"""An engine that is given chat messages and gives back text: a model behind an endpoint, which applies a chat template
of its own and does not show its tokens' ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from judgeloop.engines.base import Sampling
from judgeloop.errors import InputError
from judgeloop.records import Message

NOT_ANSWERED = "refused by the endpoint"
TOO_LONG = f"{NOT_ANSWERED}: too long for the model"
CONTENT_REFUSED = f"{NOT_ANSWERED}: its content filter"


class Refused(InputError):
    """The endpoint does not take the request as it is: `code` is the status, `words` what it says."""

    def __init__(self, message: str, code: int, words: str) -> None:
        super().__init__(message)
        self.code = code
        self.words = words


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """Ask for sample `index` of the answer to `messages`. `top_logprobs`: how many of the likeliest tokens to report
    at each place (0: none); an endpoint may give fewer, or none. If the last message is the assistant's, the answer
    goes on with it, as far as the endpoint can do so."""

    id: str
    messages: Sequence[Message]
    sampling: Sampling
    index: int = 0
    seed: int = 0
    top_logprobs: int = 0


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer: its text, and the log-probabilities of the likeliest tokens at its place, by their text."""

    text: str
    top: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request. `finish_reason` is the endpoint's word for it ("stop", …), and "length" whatever its
    word is for an answer that was cut off; `tokens` is None if the endpoint gives no log-probabilities. A thought is no
    part of `text` and `tokens`: `thought` has it, as far as the endpoint shows it, None if there was none. `unread`
    says why the text is no answer: a filter, a refusal, a tool call, or a request that was not taken (`NOT_ANSWERED`;
    the text is then what the endpoint says about it)."""

    request_id: str
    index: int
    text: str
    finish_reason: str
    tokens: tuple[Token, ...] | None = None
    thought: str | None = None
    unread: str | None = None


@runtime_checkable
class MessageEngine(Protocol):
    """A model that answers chat messages. Replies come in the order they finish."""

    name: str

    def generate(self, requests: Sequence[MessageRequest]) -> Iterator[Reply]:
        """Yield the reply to every request exactly once."""
        ...

    def note(self, text: str) -> None:
        """Keep something that the user is told once."""
        ...

    def close(self) -> None:
        """Give up what is under way. Calling it twice is fine."""
        ...
