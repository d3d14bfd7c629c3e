"""The model that writes instructions: asked in several steps, with the tokens and the time that each step took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from judgeloop.engines.base import Engine, Generation, OptionRequest, Request, Sampling
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.records import Message, derive_seed


class Prompter:
    """One loaded model. A request's seed derives from `seed`, the step and the request's name, unless it is given.

    What a request shows was written by people and by models: the name of a control token in it stays text. `too_long`
    counts the requests that were not asked, since they are longer than the model's positions with their new tokens.
    """

    def __init__(self, engine: Engine, chat: Chat, seed: int) -> None:
        self._engine, self._chat, self.seed = engine, chat, seed
        self.tokens: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}
        self.too_long = 0

    def continuation(
        self, name: str, order: str, text: str, sampling: Sampling, step: str, n: int = 1, seed: int | None = None
    ) -> Request:
        """The model is given an order, and its own answer begun with `text`, from which it goes on."""
        seed = derive_seed(self.seed, step, name) if seed is None else seed
        return Request(name, self._begun(order, text), sampling, n=n, seed=seed)

    def answer(self, name: str, messages: list[Message], sampling: Sampling, step: str) -> Request:
        """The model is asked, and answers."""
        return Request(name, tuple(self._chat.prompt_ids(messages)), sampling, seed=derive_seed(self.seed, step, name))

    def choice(self, name: str, order: str, text: str, options: Sequence[str]) -> OptionRequest:
        """As `continuation`, but the question is how likely each of a few texts is to follow."""
        return OptionRequest(
            name, self._begun(order, text), tuple(tuple(self._chat.words_ids(option)) for option in options)
        )

    def _begun(self, order: str, text: str) -> tuple[int, ...]:
        return (
            *self._chat.prompt_ids([{"role": "user", "content": order}]),
            *self._chat.response_ids(text, finished=False),
        )

    def weigh(self, requests: Sequence[OptionRequest], step: str) -> dict[str, tuple[float, ...]]:
        """Request id → the log-probability of each of its options. Seconds are added to those of the step.

        Raises InputError if a request is longer than the model's positions: it has no answer to be counted as.
        """
        for request in requests:
            if not self._fits(request, max(map(len, request.options))):
                raise InputError(
                    f"prompts: the question '{step}' for {request.id} has {len(request.prompt_ids)} tokens, the model "
                    f"{self._chat.positions} positions; choose another prompts.source or a model of more positions"
                )
        started = time.monotonic()
        found = {result.request_id: result.logprobs for result in self._engine.option_logprobs(requests)}
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - started
        return found

    def generate(self, requests: Sequence[Request], step: str) -> dict[str, list[Generation]]:
        """Request id → its samples in order; those of a request that is too long are empty, cut off by length. Tokens
        and seconds are added to those of the step."""
        started = time.monotonic()
        found: dict[str, list[Generation]] = {request.id: [] for request in requests}
        asked = [request for request in requests if self._fits(request, request.sampling.max_new_tokens)]
        for request in requests:
            if request not in asked:
                self.too_long += 1
                found[request.id] = [Generation(request.id, k, (), "", "length") for k in range(request.n)]
        for generation in self._engine.generate(asked):
            found[generation.request_id].append(generation)
            self.tokens[step] += len(generation.token_ids)
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - started
        return {name: sorted(samples, key=lambda sample: sample.index) for name, samples in found.items()}

    def _fits(self, request: Request | OptionRequest, more: int) -> bool:
        positions = self._chat.positions
        return positions is None or len(request.prompt_ids) + more <= positions
