"""A running `vllm serve` as the engine: it is told which model folder's weights to load, then asked with token ids.

The server is started by the user, with the routes that load weights (VLLM_SERVER_DEV_MODE=1), and sees the run
directory under the same path. Its weight version is set to the hash of the weights, so that no rows come from others
unnoticed.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from judgeloop.config import ServerSection
from judgeloop.engines.base import FinishReason, Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.engines.endpoint_errors import Retry
from judgeloop.engines.option_reads import OptionReads, Read
from judgeloop.engines.server_client import ServerClient
from judgeloop.engines.text import cut_at_stop
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.models.chat import Chat
from judgeloop.models.contents import content_hash
from judgeloop.records import derive_seed

W = TypeVar("W")
START = "VLLM_SERVER_DEV_MODE=1 vllm serve FOLDER --generation-config vllm"
# What two models must have alike for one's weights to run in the other's place.
_SAME = (
    "architectures", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "vocab_size", "rope_parameters", "tie_word_embeddings", "hidden_act",
)  # fmt: skip


class ServerEngine:
    """One model in a server that is running. Its weights are loaded when it is first asked."""

    name = "server"

    def __init__(self, section: ServerSection, folder: Path, chat: Chat, *, first_wait: float = 1.0) -> None:
        self._client = ServerClient(section, first_wait=first_wait)
        self._section = section
        self._folder = folder.resolve()
        self._chat = chat
        self._served: dict[str, Any] | None = None
        self._version = ""

    @property
    def retries(self) -> dict[str, int]:
        """What was asked again, by cause."""
        return dict(self._client.retries)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield every sample of every request, a request's samples together, as each request finishes.

        Raises InputError where the server cannot run the model or a request is too long for it, JudgeloopError where it
        keeps failing or was given other weights meanwhile.
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
        for (place, index), choice in self._all(asked, _tokens):
            request = requests[place]
            choices = done.setdefault(place, {})
            choices[index] = choice
            if request.sampling.temperature == 0:
                choices |= dict.fromkeys(range(request.n), choice)
            if len(choices) == request.n:
                del done[place]
                yield from (self._generation(request, k, *choices[k]) for k in range(request.n))
        self._require_own_weights()

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        """Yield one result for every request: of the server's logits before temperature and filters."""
        reads = [OptionReads(request) for request in requests]
        if not reads:
            return
        longest = max(reads, key=lambda one: one.longest)
        self._load(longest.request.id, longest.longest + 1)
        asked = (((one, read), self._read(one, read)) for one in reads for read in one.reads)
        for (one, read), top in self._all(asked, _top_logprobs):
            missing = [token for token in read.tokens if token not in top]
            if missing:
                raise InputError(
                    f"{self._client.url}: gives no log-probability of token {missing[0]}; expected scores need a "
                    "server that takes logprob_token_ids (vLLM 0.32 does), else set judge.scoring: sampled"
                )
            result = one.give(read, [top[token] for token in read.tokens])
            if result is not None:
                yield result
        self._require_own_weights()

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
            "temperature": 0.0,
            "logprobs": len(read.tokens),
            "logprob_token_ids": list(read.tokens),
            "return_tokens_as_token_ids": True,
        }

    def _body(self, ids: tuple[int, ...], name: str) -> dict[str, Any]:
        # What a server's defaults, by the model's generation_config.json, would otherwise change.
        neutral = {"repetition_penalty": 1.0, "min_p": 0.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
        served = self._served or {}
        return {"model": served["id"], "prompt": list(ids), "return_token_ids": True, "user": name, **neutral}

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
        """Have the server run this folder's weights. Raises InputError if it cannot, or if a request of so many tokens
        does not fit."""
        self._client.stop.clear()
        if self._served is None:
            _require_vllm(self._client)
            self._served = self._client.ask("/v1/models")["data"][0]
            self._require_same_architecture(str(self._served.get("root")))
            self._version = content_hash(self._folder)
        if _weights(self._client) != self._version:
            # The version goes first: if loading breaks off, no hash may name what is half loaded.
            self._client.ask("/update_weight_version", {"new_version": "loading"})
            self._command(
                "/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(self._folder)}}
            )
            if not (self._client.ask("/reset_prefix_cache", {}) or {}).get("success"):
                raise JudgeloopError(
                    f"{self._client.url}: is busy with requests of others and cannot forget what it computed with "
                    "other weights; start again when they are done"
                )
            self._client.ask("/update_weight_version", {"new_version": self._version})
        limit = self._served.get("max_model_len")
        if isinstance(limit, int) and tokens > limit:
            raise InputError(
                f"{self._client.url}: request {name} needs {tokens} tokens with its answer, and the server takes "
                f"{limit}; start it with a larger --max-model-len"
            )

    def _require_own_weights(self) -> None:
        found = _weights(self._client)
        if found != self._version:
            raise JudgeloopError(
                f"{self._client.url}: was given other weights while it answered ({found}, not {self._version}); rows "
                "of this stage may come from them: make it anew with --redo, and let one run at a time use the server"
            )

    def _require_same_architecture(self, root: str) -> None:
        """The server keeps the config it was started with; only weights are loaded."""
        there = Path(root) / "config.json"
        if not there.is_file():
            return  # a hub id, or a folder of another machine: weights of other shapes are refused as they are loaded
        one, other = (json.loads(path.read_text(encoding="utf-8")) for path in (there, self._folder / "config.json"))
        for key in _SAME:
            # One that was saved anew may spell out what the other leaves to its class.
            if None not in (one.get(key), other.get(key)) and one[key] != other[key]:
                raise InputError(
                    f"{self._client.url}: was started with {root}, whose {key} is {one.get(key)}, and {self._folder} "
                    f"has {other.get(key)}; start the server with a model of the same architecture"
                )

    def _command(self, path: str, body: dict[str, Any]) -> None:
        try:
            self._client.once(path, body)
        except Retry as failed:
            raise InputError(
                f"{self._client.url}: cannot load {self._folder} ({failed.cause}); the server's log says why (it must "
                "see the folder under this path)"
            ) from None


def check(section: ServerSection) -> None:
    """Raise InputError if the server cannot be reached, is none of vLLM's or cannot load weights."""
    client = ServerClient(section)
    _require_vllm(client)
    _weights(client)


def _require_vllm(client: ServerClient) -> None:
    if _has(client, "/version"):
        return
    if _has(client, "/props"):
        raise InputError(
            f"{client.url}: is a llama.cpp server, which cannot load other weights while it runs; start "
            f"`{START}` in its place"
        )
    if _has(client, "/get_model_info") or _has(client, "/model_info"):
        raise InputError(
            f"{client.url}: is an SGLang server, whose own requests for weights and log-probabilities "
            f"engine.kind: server does not speak; start `{START}` in its place"
        )
    raise InputError(f"{client.url}: is not vLLM's server (it has no /version); start `{START}`")


def _has(client: ServerClient, path: str) -> bool:
    try:
        return isinstance(client.ask(path), dict)
    except InputError as error:
        if "(404:" in str(error) or "(405:" in str(error):
            return False
        raise


def _weights(client: ServerClient) -> str:
    if not _has(client, "/weight_info"):
        raise InputError(f"{client.url}: cannot load weights (no /weight_info); start it as `{START}`")
    return str(client.ask("/weight_info").get("weight_version"))


def _choice(answer: Any) -> dict[str, Any]:
    try:
        choice = answer["choices"][0]
    except (KeyError, IndexError, TypeError):
        choice = None
    if not isinstance(choice, dict):
        raise Retry("an answer without choices", malformed=True)
    return choice


def _tokens(answer: Any) -> tuple[tuple[int, ...], str]:
    """Token ids and finish reason of an answer."""
    choice = _choice(answer)
    ids, finish = choice.get("token_ids"), choice.get("finish_reason")
    if not isinstance(ids, list) or not all(isinstance(token, int) for token in ids):
        raise Retry("an answer without token_ids", malformed=True)
    if finish not in ("stop", "length"):
        raise Retry(f"an answer that ended with '{finish}'", malformed=True)
    return tuple(ids), finish


def _top_logprobs(answer: Any) -> dict[int, float]:
    """Token → log-probability at the answer's first position."""
    try:
        top = _choice(answer)["logprobs"]["top_logprobs"][0]
        return {int(name.removeprefix("token_id:")): float(value) for name, value in top.items()}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise Retry("an answer without the log-probabilities asked for", malformed=True) from None
