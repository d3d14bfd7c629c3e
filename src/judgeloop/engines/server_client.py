"""HTTP to an inference server of the user's own: JSON in and out, what fails for a while is tried again and counted.

The API key comes from the environment and goes into the request's header and nowhere else: redirects are refused.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Mapping
from typing import Any

from judgeloop.config import ServerSection
from judgeloop.engines.endpoint_address import LOOPBACK
from judgeloop.engines.endpoint_errors import Refusals, Retry
from judgeloop.engines.endpoint_key import ApiKey
from judgeloop.engines.endpoint_words import words_of
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.records import derive_seed

_LONGEST_WAIT = 60.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class ServerClient:
    """Asks one server. `retries` counts, by cause, what was tried again. Raises InputError where the address or the
    key is wrong or the server refuses a request, JudgeloopError where it fails `section.attempts` times."""

    def __init__(self, section: ServerSection, *, first_wait: float = 1.0) -> None:
        self.url = _base(section.url)
        self.retries: Counter[str] = Counter()
        self.stop = threading.Event()
        self._section = section
        self._first_wait = first_wait
        key = ApiKey.from_environment(section.key_variable, "engine.server.key_variable")
        authorization = {"Authorization": f"Bearer {key.value}"} if key.value else {}
        self._headers = {"Content-Type": "application/json", **authorization}
        self._refusals = Refusals(self.url, "", key)
        local = urllib.parse.urlsplit(self.url).hostname in LOOPBACK
        self._opener = urllib.request.build_opener(_NoRedirect, *([urllib.request.ProxyHandler({})] if local else []))
        self._lock = threading.Lock()

    def ask(self, path: str, body: Any = None, *, what: str = "the server") -> Any:
        """The server's answer to a POST of `body`, or to a GET without one; `what` is named if it keeps failing."""
        jitter = random.Random(derive_seed("wait", path, what))
        tries = self._section.attempts
        for attempt in range(1, tries + 1):
            try:
                return self.once(path, body)
            except Retry as failed:
                last = failed
                with self._lock:
                    self.retries[failed.cause] += 1
            growing = self._first_wait * 2 ** (attempt - 1) * (0.5 + jitter.random())
            if attempt < tries and self.stop.wait(min(_LONGEST_WAIT, last.wait if last.wait is not None else growing)):
                break
        if last.malformed:
            raise InputError(f"{self.url}{path}: gives {last.cause}; check that engine.server.url is vLLM's server")
        raise JudgeloopError(
            f"{self.url}{path}: still {last.cause} after {tries} tries of {what}; what was answered is kept, look at "
            "the server's log and start again"
        )

    def once(self, path: str, body: Any = None) -> Any:
        """One try. Raises Retry where another is worth it."""
        code, content, headers = self.send(path, body)
        if code != 200:
            raise self._refusals.refusal(code, headers, words_of(content))
        try:
            return json.loads(content) if content else None
        except (ValueError, RecursionError):
            raise Retry("an answer that is not JSON", malformed=True) from None

    def tell(self, path: str, body: Any) -> tuple[int, str]:
        """One try of a command that is answered in words: status, and the words in one line."""
        code, content, _ = self.send(path, body)
        return code, self._refusals.shown(words_of(content))

    def send(self, path: str, body: Any = None) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, content and headers of the answer, whatever the status. Raises Retry or InputError without one."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=self._headers)
        try:
            with self._opener.open(request, timeout=self._section.timeout) as response:
                return response.status, response.read(), dict(response.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(10_000), dict(error.headers)
        except TimeoutError:
            raise Retry("a timeout") from None
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except (http.client.HTTPException, ConnectionError):
            raise Retry("a broken connection") from None

    def _unreachable(self, reason: Any) -> Exception:
        if isinstance(reason, TimeoutError):
            return Retry("a timeout")
        if isinstance(reason, ConnectionRefusedError):
            return InputError(f"{self.url}: connection refused; start the server or check engine.server.url")
        if isinstance(reason, ConnectionError):
            return Retry("a broken connection")
        return InputError(f"{self.url}: cannot be reached ({reason}); check engine.server.url and the network")


def _base(url: str | None) -> str:
    """The address without the API's path. Raises InputError where it is missing or no http address."""
    if not url:
        raise InputError(
            "engine.server.url: engine.kind: server needs it; give one such as http://localhost:8000, or another kind"
        )
    parts = urllib.parse.urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise InputError(f"engine.server.url: '{url}' is no plain http address; give one such as http://localhost:8000")
    return url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
