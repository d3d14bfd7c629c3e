"""What every engine can do: token ids in, generations out as they finish, log-probabilities of given options.

Chat templates are applied in one place (`judgeloop.models.chat`); an engine never sees text going in, so there is no
second BOS and no second template.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. Temperature 0 is greedy; top_p 1 and top_k 0 switch those filters off.

    `stop_strings` end a generation early; the text then ends where the stop string begins and finish is "stop".
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop_strings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """Ask for `n` samples after `prompt_ids`. The same request with the same seed gives the same samples,
    whatever else is in the batch (but for rounding, where an engine runs below float32)."""

    id: str
    prompt_ids: tuple[int, ...]
    sampling: Sampling
    n: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Generation:
    """Sample `index` (0 ≤ index < n) of request `request_id`.

    `token_ids` are exactly what was generated, the closing end-of-turn token included where there is one; `text` is
    their decoding without special tokens, cut at the stop string. `finish_reason` "length": ran into max_new_tokens.
    """

    request_id: str
    index: int
    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class OptionRequest:
    """Ask how likely each option (a token sequence, at least one token) is right after `prompt_ids`."""

    id: str
    prompt_ids: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class OptionLogprobs:
    """Natural-log probability of each option given the prompt (float32 log-softmax over the whole vocabulary, summed
    over the option's tokens), in the order of the request's options."""

    request_id: str
    logprobs: tuple[float, ...]


@runtime_checkable
class Engine(Protocol):
    """One model, loaded. Results come in the order they finish; n samples of a request come together."""

    name: str

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield every sample of every request exactly once."""
        ...

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        """Yield one result for every request."""
        ...

    def close(self) -> None:
        """Give back the memory. Calling it twice is fine."""
        ...
