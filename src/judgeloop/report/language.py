"""The report's words in another language, from one catalogue of the package: English text → the other's.

A key is a text as the report has it, or a pattern in which `{}` is whatever was filled in: "Use {}: {}."
Its translation has as many `{}`, in the same order or numbered (`{0}`, `{1}`); what was filled in is translated too. A
text that the catalogue does not know stays English.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from importlib.resources import files

LANGUAGES = ("en", "zh")
Words = Callable[[str], str]


def words(language: str) -> Words:
    """The translation into a language; English is left as it is."""
    return functools.partial(_translated, catalogue(language)) if language != "en" else str


@functools.cache
def catalogue(language: str) -> Mapping[str, str]:
    """English text or pattern → translation."""
    text = (files("judgeloop.report") / f"words.{language}.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def _translated(known: Mapping[str, str], text: str) -> str:
    if text in known:
        return known[text]
    for pattern, key in _patterns(tuple(known)):
        if match := pattern.fullmatch(text):
            filled = [_translated(known, part) for part in match.groups()]
            return known[key].format(*filled)
    return text


@functools.cache
def _patterns(keys: tuple[str, ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    """The keys with something to fill in, in the catalogue's order: the first that fits counts. So whole sentences are
    before what can be a part of one, and of those that begin alike the longest is first."""
    holes = [key for key in keys if "{}" in key]
    return tuple((re.compile("(.*?)".join(map(re.escape, key.split("{}"))), re.DOTALL), key) for key in holes)
