"""Options of several tokens as positions to read, for engines that give log-probabilities of chosen tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from judgeloop.engines.base import OptionLogprobs, OptionRequest
from judgeloop.errors import InputError

_MOST_TOKENS = 128  # whose log-probabilities vLLM gives at one position


@dataclass(frozen=True, slots=True)
class Read:
    """Ask for the log-probabilities of `tokens` after the request's prompt and `run`."""

    run: tuple[int, ...]
    tokens: tuple[int, ...]


@dataclass(slots=True)
class OptionReads:
    """The reads that one request takes, and what they gave: an option is read one token at a time, each after those
    before it, and its log-probabilities are summed. Raises InputError where an option or the prompt is empty."""

    request: OptionRequest
    reads: list[Read] = field(init=False)
    _values: dict[tuple[int, ...], float] = field(init=False, default_factory=dict)
    _missing: int = field(init=False)

    def __post_init__(self) -> None:
        request = self.request
        if not request.prompt_ids or not request.options or not all(request.options):
            raise InputError(f"request {request.id}: its prompt and each of its options need at least one token")
        nexts: dict[tuple[int, ...], dict[int, None]] = {}
        for option in request.options:
            for place, token in enumerate(option):
                nexts.setdefault(option[:place], {})[token] = None
        self.reads = [
            Read(run, tuple(tokens)[first : first + _MOST_TOKENS])
            for run, tokens in nexts.items()
            for first in range(0, len(tokens), _MOST_TOKENS)
        ]
        self._missing = len(self.reads)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt that is read."""
        return len(self.request.prompt_ids) + max(len(read.run) for read in self.reads)

    def give(self, read: Read, logprobs: Sequence[float]) -> OptionLogprobs | None:
        """Take what a read gave, in the order of its tokens; the result once it was the last."""
        self._values.update(((*read.run, token), value) for token, value in zip(read.tokens, logprobs, strict=True))
        self._missing -= 1
        if self._missing:
            return None
        sums = (sum(self._values[option[: k + 1]] for k in range(len(option))) for option in self.request.options)
        return OptionLogprobs(self.request.id, tuple(sums))
