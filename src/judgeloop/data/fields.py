"""The fields of seed rows, checked: text, chat messages, ranked responses.

What has the wrong type or shape is an InputError with file and line; what is well formed but empty or cannot be used
raises Unusable, which the reader counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from judgeloop.data.provenance import Intake, Place, Unusable
from judgeloop.records import MAX_SCORE, Message

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bard", "bing", "model"), "assistant"),
}
TOOL_ROLES = frozenset(
    {"tool", "tool_call", "tool_response", "function", "function_call", "function_response", "observation", "ipython"}
)


def text_of(value: object, name: str, place: Place, what: str) -> str:
    """A field that must hold text; `what` it is stands in the reasons.

    Raises InputError where it is no string or cannot be encoded, Unusable where it is null, blank or holds NUL.
    """
    if value is not None and not isinstance(value, str):
        raise place.error(f"'{name}' is {kind_of(value)}, not text", f"write {name} as a string")
    if value is None or not value.strip():
        raise Unusable(f"empty {what}")
    if "\0" in value:
        raise Unusable(f"{what} with NUL characters")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise place.error(f"'{name}' holds half of a surrogate pair (\\ud8…)", "mend the escape in the text") from error
    return value


def messages_of(value: object, name: str, place: Place, what: str = "prompt") -> list[Message]:
    """Chat messages (`role` and `content`, or ShareGPT's `from` and `value`), or a string that stands for one user
    turn. Raises InputError for what is no message or has an unknown speaker, Unusable for empty or tool turns."""
    if value is None or isinstance(value, str):
        return [{"role": "user", "content": text_of(value, name, place, what)}]
    value = rows_of_columns(value)
    if not isinstance(value, list):
        raise place.error(f"'{name}' is {kind_of(value)}", f"write {name} as a string or a list of chat messages")
    if not value:
        raise Unusable(f"empty {what}")
    return [_message(item, f"{name}[{number}]", place) for number, item in enumerate(value)]


def _message(item: object, here: str, place: Place) -> Message:
    if not isinstance(item, dict) or not ({"role", "from"} & item.keys() and {"content", "value"} & item.keys()):
        raise place.error(f"'{here}' is not a chat message", 'write {"role": …, "content": …}')
    key = "role" if item.get("role") is not None else "from"
    speaker = item.get(key)
    if not isinstance(speaker, str) or (speaker not in ROLES and speaker not in TOOL_ROLES):
        known = "system, user (human) or assistant (gpt)"
        raise place.error(f"'{here}.{key}' is {speaker!r:.60}, an unknown speaker", f"use {known}")
    if speaker in TOOL_ROLES or item.get("tool_calls") or item.get("function_call"):
        raise Unusable("conversation with tool calls")
    key = "content" if item.get("content") is not None else "value"
    content = item.get(key)
    if isinstance(content, list):
        content = _joined_parts(content, f"{here}.{key}", place)
    return {"role": ROLES[speaker], "content": text_of(content, f"{here}.{key}", place, "message")}


def _joined_parts(parts: list[Any], here: str, place: Place) -> str:
    """The text of a message that is written as a list of parts."""
    texts = []
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise place.error(f"'{here}' is a list, but not of content parts", 'write {"type": "text", "text": …}')
        if part["type"] != "text":
            raise Unusable("conversation with images or other media")
        texts.append(text_of(part.get("text"), f"{here}.text", place, "message"))
    return "\n".join(texts)


def rows_of_columns(value: object) -> object:
    """A list of objects that a table stores as an object of equally long lists, turned round; else the value itself."""
    if not isinstance(value, Mapping) or not value or not all(isinstance(column, list) for column in value.values()):
        return value
    if len({len(column) for column in value.values()}) != 1:
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


def answerable(messages: list[Message]) -> list[Message]:
    """The messages, if they can be answered: turns alternate and the user has the last word. Else raises Unusable."""
    if not messages or messages[-1]["role"] != "user":
        raise Unusable("prompt does not end with a user turn")
    if not turns_alternate(messages):
        raise Unusable("user and assistant do not take turns")
    return messages


def turns_alternate(messages: list[Message]) -> bool:
    """Whether, after a leading system message, user and assistant take turns, the user first."""
    roles = [m["role"] for m in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    return all(role == ("user", "assistant")[i % 2] for i, role in enumerate(turns))


def responses_of(value: object, intake: Intake) -> list[dict[str, Any]]:
    """Ranked responses `{"text", "rank"[, "score"]}`: ranks made dense from 0, best first; ties share a rank.

    Where no response has a rank but all have a score, the ranks follow the scores. Responses without text are left
    out and counted.
    """
    place = intake.place
    value = [] if value is None else rows_of_columns(value)
    if not isinstance(value, list):
        raise place.error(f"'responses' is {kind_of(value)}, not a list", 'write [{"text": …, "rank": …}, …]')
    responses = []
    for number, item in enumerate(value):
        here = f"responses[{number}]"
        if not isinstance(item, dict) or "text" not in item:
            raise place.error(f"'{here}' has no 'text'", 'write {"text": …, "rank": …}')
        try:
            response: dict[str, Any] = {"text": text_of(item["text"], f"{here}.text", place, "response")}
        except Unusable as unusable:
            intake.dropped[f"{unusable.reason} in a set"] += 1
            continue
        if item.get("rank") is not None:
            response["rank"] = rank_of(item["rank"], f"{here}.rank", place)
        if item.get("score") is not None:
            score = item["score"]
            if type(score) not in (int, float) or not 0 <= score <= MAX_SCORE:
                raise place.error(f"'{here}.score' is {score!r}", f"give a number from 0 to {MAX_SCORE}")
            response["score"] = score
        responses.append(response)
    if responses and not any("rank" in r for r in responses) and all("score" in r for r in responses):
        for response in responses:
            response["rank"] = -response["score"]
    if not all("rank" in r for r in responses):
        raise place.error("one of the 'responses' has no 'rank'", "rank every response, 0 is best")
    scored = sorted((r for r in responses if "score" in r), key=lambda r: (r["rank"], -r["score"]))
    for better, worse in pairwise(scored):
        if better["rank"] < worse["rank"] and better["score"] < worse["score"]:
            raise place.error("a response ranked better has the lower score", "make rank and score agree")
    return dense(responses)


def rank_of(value: object, name: str, place: Place) -> int:
    """A whole number; tables store ranks that may be missing as 0.0, 1.0, …"""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise place.error(f"'{name}' is {kind_of(value)}, not a whole number", "0 is best")
    return value


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


def kind_of(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
