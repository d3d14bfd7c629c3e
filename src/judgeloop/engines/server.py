"""A running `vllm serve` as the engine: it holds the base model, is told to load each model's adapters under a name of
their own, then asked with token ids.

The server is started by the user and sees the run directory under the same path. An adapter's name is the hash of the
weights that it makes, so no rows come from other weights unnoticed, whatever else the server was given.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from judgeloop.config import ServerSection
from judgeloop.engines.base import FinishReason, Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.engines.endpoint_errors import Retry
from judgeloop.engines.option_reads import OptionReads, Read
from judgeloop.engines.server_answers import tokens, top_logprobs
from judgeloop.engines.server_client import ServerClient
from judgeloop.engines.server_models import ServerModels
from judgeloop.engines.text import cut_at_stop
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.contents import content_hash
from judgeloop.records import derive_seed

W = TypeVar("W")


class ServerEngine:
    """One model in a server that is running. Its adapters are loaded when it is first asked."""

    name = "server"

    def __init__(
        self, section: ServerSection, folder: Path, chat: Chat, *, work_dir: Path, first_wait: float = 1.0
    ) -> None:
        self._client = ServerClient(section, first_wait=first_wait)
        self._section = section
        self._folder = folder.resolve()
        self._chat = chat
        self._work_dir = work_dir
        self._name = ""
        self._limit: int | None = None

    @property
    def retries(self) -> dict[str, int]:
        """What was asked again, by cause."""
        return dict(self._client.retries)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield every sample of every request, a request's samples together, as each request finishes.

        Raises InputError where the server cannot run the model or a request is too long for it, JudgeloopError where it
        keeps failing.
        """
        if not requests:
            return
        longest = max(requests, key=lambda request: len(request.prompt_ids) + request.sampling.max_new_tokens)
        self._load(longest.id, len(longest.prompt_ids) + longest.sampling.max_new_tokens)
        done: dict[int, dict[int, Any]] = {}
        asked = (
            ((place, index), self._sample(request, index))
            for place, request in enumerate(requests)
            for index in range(request.n if request.sampling.temperature > 0 else 1)
        )
        for (place, index), choice in self._all(asked, tokens):
            request = requests[place]
            choices = done.setdefault(place, {})
            choices[index] = choice
            if request.sampling.temperature == 0:
                choices |= dict.fromkeys(range(request.n), choice)
            if len(choices) == request.n:
                del done[place]
                yield from (self._generation(request, k, *choices[k]) for k in range(request.n))

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        """Yield one result for every request: of the server's logits before temperature and filters."""
        reads = [OptionReads(request) for request in requests]
        if not reads:
            return
        longest = max(reads, key=lambda one: one.longest)
        self._load(longest.request.id, longest.longest + 1)
        asked = (((one, read), self._read(one, read)) for one in reads for read in one.reads)
        for (one, read), top in self._all(asked, top_logprobs):
            missing = [token for token in read.tokens if token not in top]
            if missing:
                raise InputError(
                    f"{self._client.url}: gives no log-probability of token {missing[0]}; expected scores need a "
                    "server that takes logprob_token_ids (vLLM 0.32 does), else set judge.scoring: sampled"
                )
            if max(top.values()) > 0:
                raise InputError(
                    f"{self._client.url}: gives no log-probabilities; start it with --logprobs-mode raw_logprobs"
                )
            result = one.give(read, [top[token] for token in read.tokens])
            if result is not None:
                yield result

    def close(self) -> None:
        """Give up what is under way; the server goes on running. Calling it twice is fine."""
        self._client.stop.set()

    def _sample(self, request: Request, index: int) -> dict[str, Any]:
        sampling = request.sampling
        greedy = sampling.temperature == 0
        return {
            **self._body(request.prompt_ids, request.id),
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": 1.0 if greedy else sampling.top_p,
            "top_k": 0 if greedy else sampling.top_k,
            "seed": derive_seed(request.seed, "sample", index),
            "stop": list(sampling.stop_strings),
            "include_stop_str_in_output": True,
            "stop_token_ids": list(self._chat.end_ids),
            "ignore_eos": True,
        }

    def _read(self, one: OptionReads, read: Read) -> dict[str, Any]:
        return {
            **self._body(one.request.prompt_ids + read.run, one.request.id),
            "max_tokens": 1,
            "temperature": 1.0,  # else a server that gives what is left after sampling's filters gives nothing else
            "top_p": 1.0,
            "top_k": 0,
            "logprobs": len(read.tokens),
            "logprob_token_ids": list(read.tokens),
            "return_tokens_as_token_ids": True,
        }

    def _body(self, ids: tuple[int, ...], name: str) -> dict[str, Any]:
        # What a server's defaults, by the model's generation_config.json, would otherwise change.
        neutral = {"repetition_penalty": 1.0, "min_p": 0.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
        return {"model": self._name, "prompt": list(ids), "return_token_ids": True, "user": name, **neutral}

    def _all(self, asked: Iterable[tuple[W, dict[str, Any]]], read: Callable[[Any], Any]) -> Iterator[tuple[W, Any]]:
        """What the server answers to each body, read, as it comes in. An error ends all."""
        waiting = list(asked)
        todo: queue.SimpleQueue[tuple[W, dict[str, Any]]] = queue.SimpleQueue()
        found: queue.SimpleQueue[tuple[W, Any] | BaseException] = queue.SimpleQueue()
        for one in waiting:
            todo.put(one)
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                try:
                    what, body = todo.get_nowait()
                    answer = self._client.ask("/v1/completions", body, what=str(body.pop("user")))
                    found.put((what, read(answer)))
                except queue.Empty:
                    return
                except Retry as failed:
                    found.put(InputError(f"{self._client.url}: gives {failed.cause}; check that it is vLLM's server"))
                    return
                except BaseException as error:  # handed to whoever reads the answers
                    found.put(error)
                    return

        for _ in range(min(self._section.concurrency, len(waiting))):
            threading.Thread(target=work, daemon=True).start()
        try:
            for _ in waiting:
                answer = found.get()
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            stop.set()

    def _generation(self, request: Request, index: int, ids: tuple[int, ...], finish: str) -> Generation:
        text, cut = cut_at_stop(self._chat.decode(ids), request.sampling.stop_strings)
        reason: FinishReason = "stop" if cut or finish == "stop" else "length"
        return Generation(request.id, index, ids, text, reason)

    def _load(self, name: str, tokens: int) -> None:
        """Have the server load this model's adapters. Raises InputError if it cannot, or if a request of so many tokens
        does not fit."""
        self._client.stop.clear()
        if not self._name:
            models = ServerModels(self._client)
            self._limit = models.limit
            self._name = self._adapted(models)
        if self._limit is not None and tokens > self._limit:
            raise InputError(
                f"{self._client.url}: request {name} needs {tokens} tokens with its answer, and the server takes "
                f"{self._limit}; start it with a larger --max-model-len"
            )

    def _adapted(self, models: ServerModels) -> str:
        """The name of the adapter that makes this model of the server's. The base model itself has one that changes
        nothing: in one batch with adapters, vLLM's CPU build (0.32) answers requests without one by another's."""
        name = f"judgeloop-{content_hash(self._folder)[:32]}"
        if not models.has(name):
            adapter = (self._work_dir / name).resolve()
            if not adapter.is_dir():
                from judgeloop.engines.stacked_adapter import lineage, stack, write_empty

                adapters = lineage(self._folder, models.folder)
                if adapters:
                    stack(adapters, models.folder, self._folder, adapter)
                else:
                    write_empty(adapter, models.folder, 1, ["all-linear"])
            models.load(name, adapter)
        return name
