"""What an endpoint says about an error, whatever the form: OpenAI's object, a list of them (Gemini), pydantic's details
(FastAPI), the words of another provider inside (OpenRouter), plain text, a page of a gateway; with status 200 too."""

from __future__ import annotations

import email.utils
import html
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

_MOST = 10_000  # characters of a text that are read
_TEXTS = ("message", "msg", "detail", "error", "error_msg", "status_msg", "error_description", "errors", "base_resp",
          "metadata", "raw", "reasons")  # fmt: skip
_MARKS = ("code", "type", "status", "error_type", "error_code", "status_code")
_DEEPEST = 8
_UNITS = {"ms": 0.001, "mi": 60.0, "m": 60.0, "h": 3600.0}
_TIME = r"\d+(?:\.\d+)?[ \t]*(?:ms|milliseconds?|s|sec(?:ond)?s?|m|min(?:ute)?s?|h|hours?)\b"
_WAIT = re.compile(
    rf"(?:try|retry)(?: again)?(?: in| after)? (?P<times>(?:(?:{_TIME}|\d+(?:\.\d+)?[hm])[ \t]*)+)", re.I
)
_ONE_TIME = re.compile(r"(\d+(?:\.\d+)?)[ \t]*([a-z]+)", re.I)


@dataclass(frozen=True, slots=True)
class Words:
    """`text` is for a person, in one line; `marks` are the codes and types beside it; `field` is the one of the request
    that they are about, as far as they name it by itself. All may hold the key. `status`: the HTTP status that the body
    names, None if it names none. `wait`: the seconds that it asks to wait."""

    text: str
    marks: str = ""
    field: str = ""
    status: int | None = None
    wait: float | None = None

    @property
    def all(self) -> str:
        return f"{self.text} {self.marks} {self.field}"


def words_of(content: bytes, otherwise: str = "") -> Words:
    """The words of the body of an error; `otherwise` where it has none."""
    try:
        found = _read(json.loads(content))
    except (ValueError, RecursionError):
        text = content[:_MOST].decode("utf-8", "replace")
        found = _read(page_title(text) or text)
    return found if found.text else replace(found, text=otherwise or found.marks or "no message")


def error_in(value: Mapping[str, Any]) -> Words | None:
    """The words of an error that was sent in place of an answer, or of a choice, with status 200; None if there is no
    error. One beside choices must name its status to count."""
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    inner = first.get("error") if isinstance(first, dict) else None
    found = _read(value.get("error") or inner or ({} if choices else value))
    return found if found.status is not None or (found.text and (inner or not choices)) else None


def page_title(text: str) -> str | None:
    """What the title of a web page says, or all of its text; None if the text is no page."""
    if not re.match(r"\s*(?:<!doctype|<\?xml|<html|<head|<body|<center|<h1)", text, re.IGNORECASE):
        return None
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    said = title.group(1) if title else re.sub(r"<(script|style).*?</\1>|<[^>]*>?", " ", text, flags=re.I | re.S)
    return " ".join(html.unescape(said).split()) or "without a title"


def wait_asked_for(headers: Mapping[str, str]) -> float | None:
    """What the headers ask to wait, in seconds: retry-after-ms, or Retry-After, a number or a date. None if they ask
    for nothing, or for no time at all."""
    found = {name.lower(): value for name, value in headers.items()}
    try:
        return max(0.0, float(found["retry-after-ms"])) / 1000 or None
    except (KeyError, ValueError):
        pass
    value = found.get("retry-after", "")
    try:
        return max(0.0, float(value)) or None
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time()) or None
    except (TypeError, ValueError):
        return None


def _read(value: Any) -> Words:
    text = " ".join("; ".join(dict.fromkeys(_texts(value, _DEEPEST))).split())[:_MOST]
    marks = [str(mark) for name in _MARKS for mark in _named(value, name, _DEEPEST) if isinstance(mark, str | int)]
    statuses = (int(mark[:3]) for mark in marks if re.fullmatch(r"[45]\d\d(?:\d\d)?", mark))
    fields = [str(field) for field in _named(value, "param", _DEEPEST) if isinstance(field, str)]
    return Words(text, " ".join(dict.fromkeys(marks)), " ".join(fields), next(statuses, None), _wait(value, text))


def _texts(value: Any, depth: int) -> Iterator[str]:
    """What a person would read in an error, outermost first. What was sent (pydantic's `input`) is not repeated."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and depth:
        for inner in value:
            yield from _texts(inner, depth - 1)
    elif isinstance(value, dict) and depth:
        if isinstance(value.get("loc"), list):
            yield f"{'.'.join(str(part) for part in value['loc'])}: {value.get('msg', 'is refused')}"
            return
        for name in _TEXTS:
            yield from _texts(value.get(name), depth - 1)


def _named(value: Any, name: str, depth: int) -> Iterator[Any]:
    """Everything under this name, outermost first."""
    if not depth:
        return
    if isinstance(value, dict):
        if name in value:
            yield value[name]
        for inner in value.values():
            yield from _named(inner, name, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner, name, depth - 1)


def _wait(value: Any, text: str) -> float | None:
    for seconds in _named(value, "estimated_time", _DEEPEST):  # Hugging Face, while it loads a model
        if isinstance(seconds, int | float):
            return float(seconds)
    delays = [str(delay) for delay in _named(value, "retryDelay", _DEEPEST)]  # Google
    said = _WAIT.search(text)
    times = said["times"] if said else delays[0] if delays else ""
    total = sum(
        float(number) * _UNITS.get(unit.lower()[:2], _UNITS.get(unit.lower()[:1], 1.0))
        for number, unit in _ONE_TIME.findall(times)
    )
    return total or None
