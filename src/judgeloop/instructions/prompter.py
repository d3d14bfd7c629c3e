"""A model asked in several steps, with the tokens and the time that each step took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from judgeloop.engines.base import Engine, Generation, OptionRequest, Request, Sampling
from judgeloop.models.chat import Chat
from judgeloop.records import Message, derive_seed


class Asking:
    """One loaded model; every request's seed derives from `seed`, the step and the request's name."""

    def __init__(self, engine: Engine, chat: Chat, seed: int) -> None:
        self._engine, self._chat, self._seed = engine, chat, seed
        self.tokens: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}

    def continuation(self, name: str, order: str, text: str, sampling: Sampling, step: str, n: int = 1) -> Request:
        """The model is given an order and finds its own answer to it begun with `text`, which it goes on from."""
        ids = (*self._chat.prompt_ids([{"role": "user", "content": order}]), *self._chat.text_ids(text))
        return Request(name, ids, sampling, n=n, seed=derive_seed(self._seed, step, name))

    def answer(self, name: str, messages: list[Message], sampling: Sampling, step: str) -> Request:
        """The model is asked, and answers."""
        return Request(name, tuple(self._chat.prompt_ids(messages)), sampling, seed=derive_seed(self._seed, step, name))

    def choice(self, name: str, order: str, text: str, options: Sequence[str]) -> OptionRequest:
        """As `continuation`; asked is how likely each of a few texts is to follow."""
        ids = (*self._chat.prompt_ids([{"role": "user", "content": order}]), *self._chat.text_ids(text))
        return OptionRequest(name, ids, tuple(tuple(self._chat.text_ids(option)) for option in options))

    def weigh(self, requests: Sequence[OptionRequest], step: str) -> dict[str, tuple[float, ...]]:
        """Request id → the log-probability of each of its options. Seconds are added to those of the step."""
        started = time.monotonic()
        found = {result.request_id: result.logprobs for result in self._engine.option_logprobs(requests)}
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - started
        return found

    def generate(self, requests: Sequence[Request], step: str) -> dict[str, list[Generation]]:
        """Request id → its samples in order. Tokens and seconds are added to those of the step."""
        started = time.monotonic()
        found: dict[str, list[Generation]] = {request.id: [] for request in requests}
        for generation in self._engine.generate(requests):
            found[generation.request_id].append(generation)
            self.tokens[step] += len(generation.token_ids)
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - started
        return {name: sorted(samples, key=lambda sample: sample.index) for name, samples in found.items()}
