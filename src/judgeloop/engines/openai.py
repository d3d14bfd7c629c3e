"""A model behind an OpenAI-compatible endpoint (`/chat/completions`): a commercial API, or vLLM, llama.cpp, Ollama and
others on a machine of one's own.

The API key comes from the environment, goes into the request's header and nowhere else: redirects are refused, because
the header would go with them, and messages of the endpoint are shown without it.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import os
import queue
import random
import re
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from judgeloop.config import EndpointSection
from judgeloop.engines.messages import MessageRequest, Reply, Token
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.records import derive_seed

_BUSY = (408, 409, 425, 429)
_LONGEST_WAIT = 60.0
_MOST_LOGPROBS = 20  # what the API allows
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
        handlers: list[Any] = [_NoRedirect]
        if urllib.parse.urlsplit(self.url).hostname in _LOOPBACK:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

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

    def _post(self, request: MessageRequest) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        while True:
            body = self._body(request)
            post = urllib.request.Request(self.url, json.dumps(body).encode("ascii"), headers)
            try:
                with self._opener.open(post, timeout=self._section.timeout) as response:
                    value = json.loads(response.read())
            except urllib.error.HTTPError as error:
                message = self._hidden(_message(error))
                if error.code in (400, 422) and self._can_do_without(body, message):
                    continue
                raise self._refusal(error, message) from None
            except (ValueError, RecursionError):
                raise _Retry("an answer that is not JSON", malformed=True) from None
            except (OSError, http.client.HTTPException) as error:
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
        if "max_tokens" in body and re.search(r"max_completion_tokens.* instead", message):
            names, note = {"max_tokens"}, "the answers' limit is asked for as max_completion_tokens"
        elif "logprobs" in body and re.search(r"logprobs", message):
            names, note = {"logprobs", "top_logprobs"}, _NO_LOGPROBS
        elif "seed" in body and re.search(r"\bseed\b", message):
            names, note = {"seed"}, "the endpoint takes no seed: asked again, it may answer otherwise"
        else:
            return False
        self._without |= names
        self._note(note)
        return True

    def _refusal(self, error: urllib.error.HTTPError, message: str) -> Exception:
        if error.code in (401, 403):
            state = "is not accepted" if self._key else "is not set"
            return InputError(
                f"{self.url}: refuses access ({error.code}); the key in {self._section.key_variable} {state}, "
                "put a valid one into the environment"
            )
        if error.code == 404:
            return InputError(f"{self.url}: not found (404: {message}); check the URL and the model '{self.name}'")
        if error.code == 429 and "insufficient_quota" in message:
            return InputError(f"{self.url}: the account's quota is used up; raise it, then start the command again")
        if error.code in _BUSY or error.code >= 500:
            return _Retry(str(error.code), _wait_asked_for(error.headers))
        if 300 <= error.code < 400:
            there = urllib.parse.urljoin(self.url, error.headers.get("Location", ""))
            return InputError(f"{self.url}: redirects to {self._hidden(there)}; give that address")
        return InputError(f"{self.url}: refuses the request ({error.code}: {message}); mend the options or the prompts")

    def _unreachable(self, error: Exception) -> Exception:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            return _Retry("a timeout")
        if isinstance(cause, ConnectionRefusedError):
            return InputError(f"{self.url}: connection refused; start the server or check the URL")
        if isinstance(cause, (ConnectionError, http.client.HTTPException, ssl.SSLEOFError)):
            return _Retry("a broken connection")
        return InputError(f"{self.url}: cannot be reached ({cause}); check the URL and the network")

    def _reply(self, request: MessageRequest, value: dict[str, Any]) -> Reply:
        try:
            choice = value["choices"][0]
            text = choice["message"].get("content") or ""
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
        if request.top_logprobs and tokens is None and text:
            self._note(_NO_LOGPROBS)
        return Reply(request.id, request.index, text, finish, tokens)

    def _note(self, text: str) -> None:
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)

    def _hidden(self, text: str) -> str:
        """The endpoint's words, the key in them made unreadable."""
        return text.replace(self._key, "***") if self._key else text


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


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
    if parts.username or parts.password or parts.query:
        raise InputError("endpoint.url: holds a password or a query; put the key into the environment instead")
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _message(error: urllib.error.HTTPError) -> str:
    """What the endpoint says about an error, in one line."""
    try:
        text = error.read(10_000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    try:
        value = json.loads(text)
        inner = value.get("error", value) if isinstance(value, dict) else value
        if isinstance(inner, dict):
            text = "; ".join(str(inner[name]) for name in ("message", "detail", "code", "param") if inner.get(name))
        else:
            text = str(inner)
    except (ValueError, RecursionError):
        pass
    line = " ".join(text.split())
    return line[:300] or http.client.responses.get(error.code, "no message")


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
