"""A model behind an OpenAI-compatible endpoint (`/chat/completions`): a commercial API, or vLLM, llama.cpp, Ollama and
others on a machine of one's own.

The API key comes from the environment, goes into the request's header and nowhere else: redirects are refused, because
the header would go with them, and messages of the endpoint are shown without it.
"""

from __future__ import annotations

import queue
import random
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.config import EndpointSection
from judgeloop.engines.endpoint_address import LOOPBACK, address_doubt, completions_url, is_azure
from judgeloop.engines.endpoint_answers import object_of, read_reply
from judgeloop.engines.endpoint_body import EndlessAnswer, bounded
from judgeloop.engines.endpoint_errors import NotAnswered, Refusals, Retry
from judgeloop.engines.endpoint_fields import NO_LOGPROBS, Fields, begun
from judgeloop.engines.endpoint_key import ApiKey
from judgeloop.engines.endpoint_words import Words, error_in, words_of
from judgeloop.engines.messages import NOT_ANSWERED, MessageRequest, Refused, Reply
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.records import derive_seed

_LONGEST_WAIT = 60.0
_OPEN = 5  # timeouts for which an endpoint may keep a connection open while its model thinks
_MOST_REFUSED = 20  # requests in a row: then the cause is not their text
_NO_USAGE = "the endpoint does not say how many tokens it used: they are not counted, limited or priced"


@dataclass(frozen=True, slots=True)
class _RefusedRequest:
    request: MessageRequest
    error: Refused


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
        self._key = ApiKey.from_environment(section.key_variable, "endpoint.key_variable")
        self._refusals = Refusals(self.url, model, self._key)
        self._fields = Fields(model)
        self._first_wait = first_wait
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
                key = self._key.value
                azure = is_azure(self.url)
                if key is None or azure:
                    self._headers["Authorization"] = openai.Omit()
                if key is not None and azure:
                    self._headers["api-key"] = key
                base = parts._replace(path=parts.path.removesuffix("/chat/completions"), query="")
                try:
                    carrier = openai.DefaultHttpxClient(
                        follow_redirects=False,
                        trust_env=parts.hostname not in LOOPBACK,
                        event_hooks={"response": [bounded(_OPEN * self._section.timeout)]},
                    )
                except (ImportError, ValueError) as error:
                    raise self._refusals.unusable_proxy(error) from None
                self._client_made = openai.OpenAI(
                    api_key=key or "none",
                    base_url=urllib.parse.urlunsplit(base),
                    default_query=dict(urllib.parse.parse_qsl(parts.query)),
                    timeout=self._section.timeout,
                    max_retries=0,
                    http_client=carrier,
                )
            return self._client_made

    def generate(self, requests: Sequence[MessageRequest]) -> Iterator[Reply]:
        """Yield the reply to every request as it comes in. An error ends all: what was yielded before stays.

        Options and key are those of all requests, so one that is refused while others are answered is refused for its
        own text, whatever the words: it is left out, with the reason. Raises Refused if none is answered, or so many in
        a row are not."""
        waiting: queue.SimpleQueue[MessageRequest] = queue.SimpleQueue()
        found: queue.SimpleQueue[Reply | _RefusedRequest | BaseException] = queue.SimpleQueue()
        for request in requests:
            waiting.put(request)
        stop = self._stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                try:
                    request = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    found.put(self._ask(request, stop))
                except Refused as error:
                    found.put(_RefusedRequest(request, error))
                except BaseException as error:  # handed to whoever reads the replies
                    found.put(error)
                    return

        # Daemons: Ctrl-C must not wait for an answer that takes minutes.
        for _ in range(min(self._section.concurrency, len(requests))):
            threading.Thread(target=work, daemon=True).start()
        answered, held = False, list[_RefusedRequest]()
        try:
            for _ in requests:
                answer = found.get()
                if isinstance(answer, BaseException):
                    raise answer
                if isinstance(answer, _RefusedRequest):
                    held.append(answer)
                    if len(held) == _MOST_REFUSED:
                        break
                    continue
                if not (answer.unread or "").startswith(NOT_ANSWERED):
                    answered = True
                    yield from self._left_out(held)
                    held = []
                yield answer
            if held and (len(held) == _MOST_REFUSED or not answered):
                raise held[0].error
            yield from self._left_out(held)
        finally:
            stop.set()

    def _left_out(self, refused: Sequence[_RefusedRequest]) -> Iterator[Reply]:
        for one in refused:
            yield self._unread(one.request, f"{NOT_ANSWERED}: status {one.error.code}", one.error.words)

    def _unread(self, request: MessageRequest, reason: str, words: str) -> Reply:
        """The reply to a request that the endpoint does not take; what it says of the first one is noted."""
        with self._lock:
            if not any(note.startswith(reason) for note in self.notes):
                self.notes.append(f"{reason} ({words})")
        return Reply(request.id, request.index, words, "refused", unread=reason)

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
            except NotAnswered as refused:
                if refused.reason is None:  # all tokens went into a thought
                    return Reply(request.id, request.index, "", "length", thought="")
                return self._unread(request, refused.reason, refused.words)
            except Retry as failed:
                last = failed
                with self._lock:
                    self.retries[failed.cause] += 1
            growing = self._first_wait * 2 ** (attempt - 1) * (0.5 + jitter.random())
            if attempt < tries and stop.wait(min(_LONGEST_WAIT, last.wait if last.wait is not None else growing)):
                break
        what = self._key.hidden(f"{last.cause}{last.in_brackets}")
        if last.malformed:
            raise InputError(
                f"{self.url}: gives {what} to {request.id}; check that it is the URL of an OpenAI-compatible API"
                f"{address_doubt(self.url)}"
            )
        if begun(request) and last.cause == "500":  # a chat template that cannot go on with an answer
            never = "set endpoint.begin_score: never"
            raise Refused(f"{self.url}: still {what} after {tries} tries; {never}", 500, what)
        raise JudgeloopError(
            f"{self.url}: still {last.cause} after {tries} tries of {request.id}{last.in_brackets}; what was answered "
            "is kept, start again later"
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
                raise self._refusals.refusal(401, error.response.headers, words_of(error.response.content)) from None
        except (openai.APITimeoutError, EndlessAnswer):
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
            body = self._fields.body(request)
            rest = {name: value for name, value in body.items() if name not in ("model", "messages")}
            try:
                response = client.chat.completions.with_raw_response.create(
                    model=body["model"], messages=body["messages"], extra_body=rest, extra_headers=self._headers
                )
            except openai.APIStatusError as error:
                words = words_of(error.response.content, error.response.reason_phrase)
                self._mend(request, body, error.status_code, error.response.headers, words)
                continue
            except openai.APITimeoutError:
                raise Retry("a timeout") from None
            except EndlessAnswer:
                raise Retry("an answer without an end") from None
            except openai.APIConnectionError as error:
                raise self._refusals.unreachable(error) from None
            value = object_of(response.http_response.content)
            wrong = error_in(value)
            if wrong is None:
                return value
            self._mend(request, body, wrong.status, response.headers, wrong)

    def _mend(
        self, request: MessageRequest, body: dict[str, Any], code: int | None, headers: Mapping[str, str], words: Words
    ) -> None:
        """Leave out what the endpoint refuses, so that it can be asked again. Raises the error that its words mean if
        that is not the cause. `code` is None for an error that has no status."""
        like = 500 if code is None else code  # only what words say for certain is read from an error without a status
        refused = self._refusals.of_one_request(like, words)
        if refused is not None:
            raise refused
        loss = self._fields.can_do_without(like, body, words)
        if loss is not None:
            self.note(loss)
        elif code is None:
            raise Retry("an error in place of an answer", malformed=True, words=self._refusals.shown(words))
        else:
            raise self._refusals.refusal(code, headers, words, begun=begun(request))

    def _reply(self, request: MessageRequest, value: dict[str, Any]) -> Reply:
        self._count(value.get("usage"))
        reply = read_reply(request, value)
        if request.top_logprobs and reply.tokens is None and reply.text and reply.unread is None:
            self.note(NO_LOGPROBS)
        return reply

    def _count(self, usage: Any) -> None:
        """Add up what an answer used, and put the next request off as a limit of tokens wants it."""
        section = self._section
        given = usage if isinstance(usage, dict) else {}
        with self._lock:
            for name in ("prompt_tokens", "completion_tokens"):
                if isinstance(given.get(name), int | float):
                    self.tokens[name] += int(given[name])
                    if section.tokens_per_minute is not None:
                        spent = 60 * given[name] / section.tokens_per_minute
                        self._next_start = max(self._next_start, time.monotonic()) + spent
        if not given and (section.prices is not None or section.tokens_per_minute is not None):
            self.note(_NO_USAGE)

    def note(self, text: str) -> None:
        """Keep what the endpoint could not do, once."""
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)
