"""The fields of seed rows, checked: text, chat messages, ranked responses. What is wrong names file and line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.judging.rubric import MAX_SCORE
from judgeloop.records import Message

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Account:
    """What a reader did with one file: the format it detected, rows taken, and rows or parts dropped, by reason."""

    detected: str
    taken: int
    dropped: dict[str, int] = field(default_factory=dict)

    def sentence(self, path: Path) -> str:
        """The account in one line, for the progress display."""
        dropped = "; ".join(f"{count} dropped: {reason}" for reason, count in self.dropped.items())
        return f"{path.name}: {self.detected}, {self.taken} taken" + (f"; {dropped}" if dropped else "")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, for errors and for the `source` of rows."""

    path: Path
    line: int

    @property
    def source(self) -> str:
        return f"{self.path.name}:{self.line}"

    def error(self, problem: str, remedy: str) -> InputError:
        return InputError.at(self.path, self.line, problem, remedy)


def text_of(value: object, name: str, place: Place) -> str:
    """A field that must hold text. Raises InputError where it is no string, empty, or not encodable."""
    if not isinstance(value, str):
        raise place.error(f"'{name}' is {_kind(value)}, not text", f"write {name} as a string")
    if not value.strip():
        raise place.error(f"'{name}' is empty", "fill it in or remove the line")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise place.error(f"'{name}' holds half of a surrogate pair (\\ud8…)", "mend the escape in the text") from error
    return value


def messages_of(value: object, name: str, place: Place) -> list[Message]:
    """Chat messages, or a string that stands for one user turn."""
    if isinstance(value, str):
        return [{"role": "user", "content": text_of(value, name, place)}]
    if not isinstance(value, list):
        raise place.error(f"'{name}' is {_kind(value)}", f"write {name} as a string or a list of chat messages")
    if not value:
        raise place.error(f"'{name}' has no messages", "fill it in or remove the line")
    messages: list[Message] = []
    for number, item in enumerate(value):
        here = f"{name}[{number}]"
        if not isinstance(item, dict) or "role" not in item or "content" not in item:
            raise place.error(f"'{here}' is not a chat message", 'write {"role": …, "content": …}')
        if item["role"] not in ROLES:
            raise place.error(f"'{here}.role' is {item['role']!r}", f"use one of {', '.join(ROLES)}")
        messages.append({"role": item["role"], "content": text_of(item["content"], f"{here}.content", place)})
    return messages


def turns_alternate(messages: list[Message]) -> bool:
    """Whether, after a leading system message, user and assistant take turns, the user first."""
    roles = [m["role"] for m in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    return all(role == ("user", "assistant")[i % 2] for i, role in enumerate(turns))


def responses_of(value: object, place: Place) -> list[dict[str, Any]]:
    """Ranked responses `{"text", "rank"[, "score"]}`: ranks made dense from 0, best first; ties share a rank.

    Where no response has a rank but all have a score, the ranks follow the scores.
    """
    if not isinstance(value, list):
        raise place.error(f"'responses' is {_kind(value)}, not a list", 'write [{"text": …, "rank": …}, …]')
    responses = []
    for number, item in enumerate(value):
        here = f"responses[{number}]"
        if not isinstance(item, dict) or "text" not in item:
            raise place.error(f"'{here}' has no 'text'", 'write {"text": …, "rank": …}')
        response: dict[str, Any] = {"text": text_of(item["text"], f"{here}.text", place)}
        if item.get("rank") is not None:
            if type(item["rank"]) is not int:
                raise place.error(f"'{here}.rank' is {_kind(item['rank'])}, not a whole number", "0 is best")
            response["rank"] = item["rank"]
        if item.get("score") is not None:
            score = item["score"]
            if type(score) not in (int, float) or not 0 <= score <= MAX_SCORE:
                raise place.error(f"'{here}.score' is {score!r}", f"give a number from 0 to {MAX_SCORE}")
            response["score"] = score
        responses.append(response)
    if responses and not any("rank" in r for r in responses) and all("score" in r for r in responses):
        for response in responses:
            response["rank"] = -response["score"]
    for number, response in enumerate(responses):
        if "rank" not in response:
            raise place.error(f"'responses[{number}]' has no 'rank'", "rank every response, 0 is best")
    scored = sorted((r for r in responses if "score" in r), key=lambda r: (r["rank"], -r["score"]))
    for better, worse in pairwise(scored):
        if better["rank"] < worse["rank"] and better["score"] < worse["score"]:
            raise place.error("a response ranked better has the lower score", "make rank and score agree")
    return dense(responses)


def dense(responses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The responses best first (equal ranks in the order given), with ranks 0, 1, 2 … without gaps."""
    ranks = sorted({response["rank"] for response in responses})
    ordered = sorted(responses, key=lambda response: ranks.index(response["rank"]))
    return [{**response, "rank": ranks.index(response["rank"])} for response in ordered]


def normalised(text: str) -> str:
    """A text as leakage checks compare it: compatibility forms, case, spacing and punctuation made equal."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"[^\W_]+", plain)) or " ".join(plain.split())


def prompt_keys(messages: list[Message]) -> Iterator[str]:
    """Normalised forms of the conversation up to each user turn, the whole prompt last; system messages left out."""
    turns = [m for m in messages if m["role"] != "system"]
    for end, message in enumerate(turns, 1):
        if message["role"] == "user":
            yield "\n".join(f"{m['role']}: {normalised(m['content'])}" for m in turns[:end])


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
