"""A model behind an OpenAI-compatible endpoint (`/chat/completions`): a commercial API, or vLLM, llama.cpp, Ollama and
others on a machine of one's own.

The API key comes from the environment, goes into the request's header and nowhere else: redirects are refused, because
the header would go with them, and messages of the endpoint are shown without it.
"""

from __future__ import annotations

import email.utils
import json
import os
import queue
import random
import re
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from judgeloop.config import EndpointSection
from judgeloop.engines.messages import MessageRequest, Reply, Token
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.records import derive_seed

_BUSY = (408, 409, 425, 429)
_LONGEST_WAIT = 60.0
_MOST_LOGPROBS = 20  # what the API allows
_SHORTEST_KEY = 8  # characters
_OPTIONAL = {  # fields that a model may refuse, and what is lost without them
    "temperature": "it draws at a temperature of its own",
    "top_p": "it draws from all tokens",
    "top_k": "it draws from all tokens",
    "seed": "asked again, it may answer otherwise",
    "stop": "its answers end where it ends them",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")  # never asked for through a proxy
_NO_LOGPROBS = "the endpoint gives no log-probabilities: scores and preferences are read from the text"


class _Retry(Exception):
    """Worth another try: `cause` is counted, `wait` is how long the endpoint asks to wait, in seconds. `malformed`:
    there was an answer, but not of this API."""

    def __init__(self, cause: str, wait: float | None = None, *, malformed: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.wait = wait
        self.malformed = malformed


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
                azure = (parts.hostname or "").endswith(".azure.com") or "api-version" in parts.query
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
                        follow_redirects=False, trust_env=parts.hostname not in _LOOPBACK
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

    def _ask(self, request: MessageRequest, stop: threading.Event) -> Reply:
        """One request, tried until it succeeds or `attempts` are used up."""
        jitter = random.Random(derive_seed("wait", request.id, request.index))
        tries = self._section.attempts
        for attempt in range(1, tries + 1):
            self._take_turn(stop)
            try:
                return self._reply(request, self._post(request))
            except _Retry as failed:
                last = failed
                with self._lock:
                    self.retries[failed.cause] += 1
            growing = self._first_wait * 2 ** (attempt - 1) * (0.5 + jitter.random())
            if attempt < tries and stop.wait(min(_LONGEST_WAIT, last.wait if last.wait is not None else growing)):
                break
        if last.malformed:
            raise InputError(f"{self.url}: gives {last.cause}; check that it is the URL of an OpenAI-compatible API")
        raise JudgeloopError(
            f"{self.url}: still {last.cause} after {tries} tries; what was answered is kept, start again later"
        )

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
                message = self._hidden(_message(error.response))
                if error.status_code in (400, 422) and self._can_do_without(body, message):
                    continue
                raise self._refusal(error.status_code, error.response.headers, message) from None
            except (ValueError, RecursionError):
                raise _Retry("an answer that is not JSON", malformed=True) from None
            except openai.APITimeoutError:
                raise _Retry("a timeout") from None
            except openai.APIConnectionError as error:
                raise self._unreachable(error) from None
            if not isinstance(value, dict):
                raise _Retry("an answer that is not a JSON object", malformed=True)
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
        self._note(note)
        return True

    def _refusal(self, code: int, headers: Mapping[str, str], message: str) -> Exception:
        if code in (401, 403):
            state = "is not accepted" if self._key else "is not set"
            return InputError(
                f"{self.url}: refuses access ({code}); the key in {self._section.key_variable} {state}, "
                "put a valid one into the environment"
            )
        if code == 404:
            return InputError(f"{self.url}: not found (404: {message}); check the URL and the model '{self.name}'")
        if code == 429 and "insufficient_quota" in message:
            return InputError(f"{self.url}: the account's quota is used up; raise it, then start the command again")
        if code in _BUSY or code >= 500:
            return _Retry(str(code), _wait_asked_for(headers))
        if 300 <= code < 400:
            there = urllib.parse.urljoin(self.url, headers.get("Location", ""))
            return InputError(f"{self.url}: redirects to {self._hidden(there)}; give that address")
        return InputError(f"{self.url}: refuses the request ({code}: {message}); mend the options or the prompts")

    def _unreachable(self, error: Exception) -> Exception:
        cause = error.__cause__
        words = self._hidden(str(cause))
        if "refused" in words or "All connection attempts failed" in words:
            return InputError(f"{self.url}: connection refused; start the server or check the URL")
        if type(cause).__name__ in ("RemoteProtocolError", "ReadError", "WriteError", "CloseError"):
            return _Retry("a broken connection")
        return InputError(f"{self.url}: cannot be reached ({words}); check the URL and the network")

    def _reply(self, request: MessageRequest, value: dict[str, Any]) -> Reply:
        try:
            choice = value["choices"][0]
            text = choice["message"].get("content") or ""
            if isinstance(text, str):
                text = _after_thought(text)
            finish = str(choice.get("finish_reason") or "stop")
            tokens = _tokens(choice.get("logprobs"))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise _Retry("an answer without choices and message", malformed=True) from None
        if not isinstance(text, str):
            raise _Retry("an answer whose content is not text", malformed=True)
        usage = value.get("usage")
        if isinstance(usage, dict):
            with self._lock:
                for name in ("prompt_tokens", "completion_tokens"):
                    if isinstance(usage.get(name), int):
                        self.tokens[name] += usage[name]
                        if self._section.tokens_per_minute is not None:
                            spent = 60 * usage[name] / self._section.tokens_per_minute
                            self._next_start = max(self._next_start, time.monotonic()) + spent
        if request.top_logprobs and tokens is None and text:
            self._note(_NO_LOGPROBS)
        return Reply(request.id, request.index, text, finish, tokens)

    def _note(self, text: str) -> None:
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)

    def _hidden(self, text: str) -> str:
        """The endpoint's words, the key in them made unreadable. A key shorter than any real one, as local servers are
        given, is hidden only as a word of its own: "x" must not mangle the name of `max_tokens`."""
        if not self._key:
            return text
        if len(self._key) >= _SHORTEST_KEY:
            return text.replace(self._key, "***")
        return re.sub(rf"(?<!\w){re.escape(self._key)}(?!\w)", "***", text)


def _after_thought(text: str) -> str:
    """The answer after the thought; nothing if the thought was not closed. A thought is never read as the answer."""
    _, closed, answer = text.rpartition("</think>")
    if closed:
        return answer.lstrip()
    return "" if text.lstrip().startswith("<think>") else text


def completions_url(base: str | None) -> str:
    """The address that requests go to. Raises InputError where the base URL is missing, wrong or holds a password."""
    if not base:
        raise InputError("endpoint.url: no URL; give the API's base URL, such as http://localhost:8000/v1")
    try:
        parts = urllib.parse.urlsplit(base.strip())
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        port_is_right = False
    if not port_is_right or parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"endpoint.url: '{base}' is no http address; give one such as http://localhost:8000/v1")
    if (
        parts.username
        or parts.password
        or any(name != "api-version" for name, _ in urllib.parse.parse_qsl(parts.query))
    ):
        raise InputError(
            "endpoint.url: holds a password or a query other than api-version; put the key into the environment instead"
        )
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _message(response: Any) -> str:
    """What the endpoint says about an error, in one line."""
    text = response.content[:10_000].decode("utf-8", "replace")
    try:
        value = json.loads(text)
        inner = value.get("error", value) if isinstance(value, dict) else value
        if isinstance(inner, dict):
            text = "; ".join(str(inner[name]) for name in ("message", "detail", "code", "param") if inner.get(name))
        else:
            text = str(inner)
    except (ValueError, RecursionError):
        pass
    return " ".join(text.split())[:300] or response.reason_phrase or "no message"


def _wait_asked_for(headers: Any) -> float | None:
    """The Retry-After header, as seconds: a number or a date."""
    value = headers.get("Retry-After")
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _tokens(logprobs: Any) -> tuple[Token, ...] | None:
    """The answer's tokens with their alternatives; None where the endpoint gave none."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not content:
        return None
    found = []
    for entry in content:
        top = {str(other["token"]): float(other["logprob"]) for other in entry.get("top_logprobs") or ()}
        top.setdefault(str(entry["token"]), float(entry["logprob"]))
        found.append(Token(str(entry["token"]), top))
    return tuple(found)
