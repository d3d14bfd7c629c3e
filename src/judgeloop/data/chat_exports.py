"""Rows as chat programs and tracers export them, with their messages or columns one level down: brought to the top.

A conversation of ChatGPT is a tree of messages with branches that were written anew; what counts is the branch that was
shown last. Open WebUI keeps the messages within `chat`, LangSmith the columns within `inputs` and `outputs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CUT = ("max_tokens", "interrupted")  # how a generation ended before its end, in ChatGPT's words


def unfolded(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its messages in `messages`, or the columns of its objects as its own; any other row as it is."""
    mapping = row.get("mapping")
    if isinstance(mapping, dict) and mapping and all(_is_node(node) for node in mapping.values()):
        rest = {key: value for key, value in row.items() if key not in ("mapping", "current_node")}
        return {**rest, "messages": _branch(mapping, row.get("current_node"))}
    chat = row.get("chat")
    if isinstance(chat, dict) and isinstance(chat.get("messages"), list) and "messages" not in row:
        rest = {key: value for key, value in row.items() if key != "chat"}
        return {**rest, "messages": chat["messages"]}
    called = _call_in(row)
    if called is not None:
        return called
    asked, said = row.get("inputs"), row.get("outputs")
    if isinstance(asked, dict) and isinstance(said, dict):
        rest = {key: value for key, value in row.items() if key not in ("inputs", "outputs")}
        before, after = asked.get("messages"), said.get("messages")
        if isinstance(before, list) and isinstance(after, list):
            return {**asked, **said, **rest, "messages": [*before, *after]}
        if not asked.keys() & said.keys() and not rest.keys() & (asked.keys() | said.keys()):
            return {**asked, **said, **rest}
    return row


def _call_in(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row of a call as a proxy logs it: the messages of the request with the message that was answered; None if it
    is no such row."""
    objects = {key: value for key, value in row.items() if isinstance(value, dict)}
    asked = [key for key, value in objects.items() if isinstance(value.get("messages"), list)]
    said = [key for key, value in objects.items() if isinstance(value.get("choices"), list)]
    if len(asked) != 1 or len(said) != 1 or "messages" in row or len(objects[said[0]]["choices"]) != 1:
        return None
    choice = objects[said[0]]["choices"][0]
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return None
    rest = {key: value for key, value in row.items() if key not in (*asked, *said)}
    ended = {"finish_reason": choice["finish_reason"]} if choice.get("finish_reason") is not None else {}
    return {**rest, "messages": [*objects[asked[0]]["messages"], {**choice["message"], **ended}]}


def _is_node(node: object) -> bool:
    return isinstance(node, dict) and "message" in node and "parent" in node


def _branch(mapping: Mapping[str, Any], last: object) -> list[dict[str, Any]]:
    """The messages from the root to the node that was shown last, or to the last one of all."""
    name = last if isinstance(last, str) and last in mapping else next(reversed(list(mapping)))
    path: list[Any] = []
    seen: set[str] = set()
    while isinstance(name, str) and name in mapping and name not in seen:
        seen.add(name)
        path.append(mapping[name]["message"])
        name = mapping[name]["parent"]
    return _messages([message for message in reversed(path) if isinstance(message, dict)])


def _messages(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    thought = ""
    for message in told:
        role = (message.get("author") or {}).get("role")
        about, content = message.get("metadata") or {}, message.get("content") or {}
        kind, parts = content.get("content_type"), content.get("parts")
        if kind in ("thoughts", "reasoning_recap"):
            thought += "\n".join(str(part.get("content", "")) for part in content.get("thoughts") or ())
            continue
        blank = isinstance(parts, list) and all(part == "" for part in parts)
        if about.get("is_visually_hidden_from_conversation") or (blank and role != "assistant"):
            continue  # what the program tells the model for itself
        if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
            text: Any = "\n".join(parts)
        elif isinstance(parts, list):  # images and other media among texts
            text = [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in parts]
        else:
            text = content.get("text", "")
        made: dict[str, Any] = {"role": role, "content": text}
        if role == "assistant" and message.get("recipient") not in (None, "all"):
            made["tool_calls"] = [{"type": "function", "function": {"name": message["recipient"], "arguments": "{}"}}]
        if role == "assistant" and thought:
            made["reasoning_content"], thought = thought, ""
        ended = (about.get("finish_details") or {}).get("type")
        if ended in _CUT:
            made["finish_reason"] = "length"
        found.append(made)
    return found
