"""What an endpoint's refusal means: worth another try, or the user's to mend. No message holds the key."""

from __future__ import annotations

import email.utils
import json
import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from judgeloop.engines.messages import Refused
from judgeloop.errors import InputError

_BUSY = (408, 409, 425, 429)
_SHORTEST_KEY = 8  # characters


class Retry(Exception):
    """Worth another try: `cause` is counted, `wait` is how long the endpoint asks to wait, in seconds. `malformed`:
    there was an answer, but not of this API."""

    def __init__(self, cause: str, wait: float | None = None, *, malformed: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.wait = wait
        self.malformed = malformed


@dataclass(frozen=True, slots=True)
class Refusals:
    """Reads the refusals of the endpoint at `url`; `name` is the model asked for."""

    url: str
    name: str
    key_variable: str
    key: str | None = field(repr=False)

    def refusal(self, code: int, headers: Mapping[str, str], message: str) -> Exception:
        """The error that an answer with this status means. `message`: the endpoint's words, without the key."""
        if code in (401, 403):
            state = "is not accepted" if self.key else "is not set"
            return InputError(
                f"{self.url}: refuses access ({code}); the key in {self.key_variable} {state}, "
                "put a valid one into the environment"
            )
        if code == 404:
            return InputError(f"{self.url}: not found (404: {message}); check the URL and the model '{self.name}'")
        if code == 429 and "insufficient_quota" in message:
            return InputError(f"{self.url}: the account's quota is used up; raise it, then start the command again")
        if code in _BUSY or code >= 500:
            return Retry(str(code), wait_asked_for(headers))
        if 300 <= code < 400:
            there = urllib.parse.urljoin(self.url, headers.get("Location", ""))
            return InputError(f"{self.url}: redirects to {self.hidden(there)}; give that address")
        return Refused(f"{self.url}: refuses the request ({code}: {message}); mend the options or the prompts")

    def unreachable(self, error: Exception) -> Exception:
        """The error that a connection that fails means."""
        cause = error.__cause__
        words = self.hidden(str(cause))
        if "refused" in words or "All connection attempts failed" in words:
            return InputError(f"{self.url}: connection refused; start the server or check the URL")
        if type(cause).__name__ in ("RemoteProtocolError", "ReadError", "WriteError", "CloseError"):
            return Retry("a broken connection")
        return InputError(f"{self.url}: cannot be reached ({words}); check the URL and the network")

    def hidden(self, text: str) -> str:
        """The endpoint's words, the key in them made unreadable. A key shorter than any real one, as local servers are
        given, is hidden only as a word of its own: "x" must not mangle the name of `max_tokens`."""
        if not self.key:
            return text
        if len(self.key) >= _SHORTEST_KEY:
            return text.replace(self.key, "***")
        return re.sub(rf"(?<!\w){re.escape(self.key)}(?!\w)", "***", text)


def message_of(response: Any) -> str:
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


def wait_asked_for(headers: Any) -> float | None:
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
