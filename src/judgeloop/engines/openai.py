"""A model behind an OpenAI-compatible endpoint (`/chat/completions`): a commercial API, or vLLM, llama.cpp, Ollama and
others on a machine of one's own.

The API key comes from the environment, goes into the request's header and nowhere else: redirects are refused, because
the header would go with them, and messages of the endpoint are shown without it.
"""

from __future__ import annotations

import json
import os
import queue
import random
import re
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from judgeloop.config import EndpointSection
from judgeloop.engines.endpoint_address import LOOPBACK, completions_url, is_azure
from judgeloop.engines.endpoint_answers import read_reply
from judgeloop.engines.endpoint_errors import Refusals, Retry, message_of
from judgeloop.engines.messages import MessageRequest, Reply
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.records import derive_seed

_LONGEST_WAIT = 60.0
_MOST_LOGPROBS = 20  # what the API allows
_OPTIONAL = {  # fields that a model may refuse, and what is lost without them
    "temperature": "it draws at a temperature of its own",
    "top_p": "it draws from all tokens",
    "top_k": "it draws from all tokens",
    "seed": "asked again, it may answer otherwise",
    "stop": "its answers end where it ends them",
}
_NO_LOGPROBS = "the endpoint gives no log-probabilities: scores and preferences are read from the text"


class OpenAiEngine:
    """Asks one model at one endpoint, `section.concurrency` requests at a time.

    A request that meets 429, 5xx, a timeout or a broken connection is tried again with growing waits, the first of
    about `first_wait` seconds; `retries` counts them by cause, `tokens` what the endpoint says it used. `notes` says
    what the endpoint could not do and what was done instead. Raises InputError where the key, the address or the
    model's name is wrong, JudgeloopError where an endpoint fails `section.attempts` times.
    """

    def __init__(self, section: EndpointSection, model: str, *, first_wait: float = 1.0) -> None:
        self.name = model
        self.url = completions_url(section.url)
        self.retries: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.notes: list[str] = []
        self._section = section
        self._key = os.environ.get(section.key_variable) or None
        if self._key is not None and not re.fullmatch(r"[!-~]+", self._key):
            raise InputError(
                f"endpoint.key_variable: the key in {section.key_variable} has a space, a line break or a character "
                "that no key has; copy it again"
            )
        self._refusals = Refusals(self.url, model, section.key_variable, self._key)
        self._first_wait = first_wait
        self._without: frozenset[str] = frozenset()  # request fields that this endpoint refuses
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._client_made: Any = None
        self._next_start = 0.0
        self._headers: dict[str, Any] = {}

    def _client(self) -> Any:
        """The SDK's client, made at the first request: its import takes most of a second. It follows no redirect and
        tries nothing again: retries are counted and bounded here."""
        with self._lock:
            if self._client_made is None:
                import openai

                parts = urllib.parse.urlsplit(self.url)
                key: Any = self._key
                azure = is_azure(self.url)
                if key is None or azure:
                    self._headers["Authorization"] = openai.Omit()
                if key is not None and azure:
                    self._headers["api-key"] = key
                base = parts._replace(path=parts.path.removesuffix("/chat/completions"), query="")
                self._client_made = openai.OpenAI(
                    api_key=key or "none",
                    base_url=urllib.parse.urlunsplit(base),
                    default_query=dict(urllib.parse.parse_qsl(parts.query)),
                    timeout=self._section.timeout,
                    max_retries=0,
                    http_client=openai.DefaultHttpxClient(
                        follow_redirects=False, trust_env=parts.hostname not in LOOPBACK
                    ),
                )
            return self._client_made

    def generate(self, requests: Sequence[MessageRequest]) -> Iterator[Reply]:
        """Yield the reply to every request as it comes in. An error ends all: what was yielded before stays."""
        waiting: queue.SimpleQueue[MessageRequest] = queue.SimpleQueue()
        found: queue.SimpleQueue[Reply | BaseException] = queue.SimpleQueue()
        for request in requests:
            waiting.put(request)
        stop = self._stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                try:
                    found.put(self._ask(waiting.get_nowait(), stop))
                except queue.Empty:
                    return
                except BaseException as error:  # handed to whoever reads the replies
                    found.put(error)
                    return

        # Daemons: Ctrl-C must not wait for an answer that takes minutes.
        for _ in range(min(self._section.concurrency, len(requests))):
            threading.Thread(target=work, daemon=True).start()
        try:
            for _ in requests:
                answer = found.get()
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            stop.set()

    def close(self) -> None:
        """Give up what is under way."""
        self._stop.set()

    @property
    def cost(self) -> float | None:
        """What the tokens so far cost by `endpoint.prices`, in their currency; None without prices."""
        prices = self._section.prices
        if prices is None:
            return None
        return (prices.input * self.tokens["prompt_tokens"] + prices.output * self.tokens["completion_tokens"]) / 1e6

    def account(self) -> dict[str, Any]:
        """What had to be asked again and why, the tokens used and their cost, and what the endpoint could not do."""
        found = {"retries": dict(self.retries), "tokens": dict(self.tokens), "notes": list(self.notes)}
        return found if self.cost is None else {**found, "cost": round(self.cost, 6)}

    def _ask(self, request: MessageRequest, stop: threading.Event) -> Reply:
        """One request, tried until it succeeds or `attempts` are used up."""
        jitter = random.Random(derive_seed("wait", request.id, request.index))
        tries = self._section.attempts
        for attempt in range(1, tries + 1):
            self._take_turn(stop)
            try:
                return self._reply(request, self._post(request))
            except Retry as failed:
                last = failed
                with self._lock:
                    self.retries[failed.cause] += 1
            growing = self._first_wait * 2 ** (attempt - 1) * (0.5 + jitter.random())
            if attempt < tries and stop.wait(min(_LONGEST_WAIT, last.wait if last.wait is not None else growing)):
                break
        if last.malformed:
            raise InputError(
                f"{self.url}: gives {last.cause} to {request.id}; check that it is the URL of an OpenAI-compatible API"
            )
        raise JudgeloopError(
            f"{self.url}: still {last.cause} after {tries} tries of {request.id}; what was answered is kept, "
            "start again later"
        )

    def check(self) -> None:
        """Raise InputError if the endpoint cannot be reached or does not accept the key. It is asked which models it
        has; an endpoint that cannot say, or does not let this key ask, may answer all the same."""
        client = self._client()
        import openai

        try:
            client.with_options(timeout=min(self._section.timeout, 10.0)).models.with_raw_response.list(
                extra_headers=self._headers
            )
        except openai.APIStatusError as error:
            if error.status_code == 401:
                raise self._refusals.refusal(401, error.response.headers, "") from None
        except openai.APITimeoutError:
            return
        except openai.APIConnectionError as error:
            found = self._refusals.unreachable(error)
            if isinstance(found, InputError):
                raise found from None

    def _take_turn(self, stop: threading.Event) -> None:
        """Wait until the limits of a minute allow the next request."""
        rate = self._section.requests_per_minute
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next_start)
            if rate is not None:
                self._next_start = start + 60 / rate
        if start > now:
            stop.wait(start - now)

    def _post(self, request: MessageRequest) -> dict[str, Any]:
        client = self._client()
        import openai

        while True:
            body = self._body(request)
            own = {"model": body.pop("model"), "messages": body.pop("messages")}
            try:
                response = client.chat.completions.with_raw_response.create(
                    **own, extra_body=body, extra_headers=self._headers
                )
                value = json.loads(response.http_response.content)
            except openai.APIStatusError as error:
                message = self._refusals.hidden(message_of(error.response))
                if error.status_code in (400, 422) and self._can_do_without(body, message):
                    continue
                raise self._refusals.refusal(error.status_code, error.response.headers, message) from None
            except (ValueError, RecursionError):
                raise Retry("an answer that is not JSON", malformed=True) from None
            except openai.APITimeoutError:
                raise Retry("a timeout") from None
            except openai.APIConnectionError as error:
                raise self._refusals.unreachable(error) from None
            if not isinstance(value, dict):
                raise Retry("an answer that is not a JSON object", malformed=True)
            return value

    def _body(self, request: MessageRequest) -> dict[str, Any]:
        sampling, without = request.sampling, self._without
        body: dict[str, Any] = {
            "model": self.name,
            "messages": list(request.messages),
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "seed": request.seed,
        }
        if sampling.temperature > 0:
            body["top_p"] = sampling.top_p
            if sampling.top_k:
                body["top_k"] = sampling.top_k
        if sampling.stop_strings:
            body["stop"] = list(sampling.stop_strings)
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": min(request.top_logprobs, _MOST_LOGPROBS)}
        if request.messages and request.messages[-1]["role"] == "assistant":
            # vLLM goes on with a begun answer only if told to; llama.cpp does by itself.
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if "max_tokens" in without:
            body["max_completion_tokens"] = body["max_tokens"]
        return {name: value for name, value in body.items() if name not in without}

    def _can_do_without(self, body: dict[str, Any], message: str) -> bool:
        """Does the endpoint refuse a field that can be done without? Then it is left out from now on, and noted."""
        names: set[str] | None = None
        if "max_tokens" in body and re.search(r"max_completion_tokens.* instead", message):
            names, note = {"max_tokens"}, "the answers' limit is asked for as max_completion_tokens"
        elif "logprobs" in body and "logprobs" in message:
            names, note = {"logprobs", "top_logprobs"}, _NO_LOGPROBS
        elif "continue_final_message" in body and re.search("continue_final|add_generation_prompt", message):
            names = {"continue_final_message", "add_generation_prompt"}
            note = "the endpoint takes no continue_final_message: a begun answer is sent without it"
        else:
            for field, loss in _OPTIONAL.items():
                if field in body and re.search(
                    rf"['\"`]{field}['\"`]" if field == "stop" else rf"\b{field}\b", message
                ):
                    names, note = {field}, f"the endpoint takes no {field}: {loss}"
                    break
        if names is None:
            return False
        with self._lock:
            self._without |= names
        self.note(note)
        return True

    def _reply(self, request: MessageRequest, value: dict[str, Any]) -> Reply:
        reply = read_reply(request, value)
        usage = value.get("usage")
        if isinstance(usage, dict):
            with self._lock:
                for name in ("prompt_tokens", "completion_tokens"):
                    if isinstance(usage.get(name), int):
                        self.tokens[name] += usage[name]
                        if self._section.tokens_per_minute is not None:
                            spent = 60 * usage[name] / self._section.tokens_per_minute
                            self._next_start = max(self._next_start, time.monotonic()) + spent
        if request.top_logprobs and reply.tokens is None and reply.text:
            self.note(_NO_LOGPROBS)
        return reply

    def note(self, text: str) -> None:
        """Keep what the endpoint could not do, once."""
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)
