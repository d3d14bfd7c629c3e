"""The key of an API: it comes from the environment, goes into the request's header and is shown nowhere."""

from __future__ import annotations

import html
import json
import os
import re
import urllib.parse
from dataclasses import dataclass, field

from judgeloop.errors import InputError

_SHORTEST = 8  # characters of a key that is hidden inside other words too


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The key that the environment variable `variable` holds; `value` is None if it holds none."""

    variable: str
    value: str | None = field(repr=False)

    @classmethod
    def from_environment(cls, variable: str, option: str) -> ApiKey:
        """Read it. Raises InputError, which names the config key `option`, if no header can hold it."""
        value = os.environ.get(variable) or None
        if value is not None and not re.fullmatch(r"[!-~]+", value):
            raise InputError(
                f"{option}: the key in {variable} has a space, a line break or a character that no key has; copy it "
                "again"
            )
        return cls(variable, value)

    def hidden(self, text: str) -> str:
        """The text, the key in it made unreadable, also as an address, JSON and HTML spell it. A key shorter than any
        real one, as local servers are given, is hidden only as a word of its own: "x" must not mangle the name of
        `max_tokens`."""
        if not self.value:
            return text
        for form in {
            self.value,
            urllib.parse.quote(self.value, safe=""),
            urllib.parse.quote_plus(self.value),
            json.dumps(self.value)[1:-1],
            html.escape(self.value),
        }:
            if len(self.value) >= _SHORTEST:
                text = text.replace(form, "***")
            else:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", "***", text)
        return text
