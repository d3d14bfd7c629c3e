"""What kind of thing a cell holds: a text, a list, messages, an object that asks something."""

from __future__ import annotations

from collections.abc import Mapping

from judgeloop.data.fields import decoded
from judgeloop.data.marks import is_blank, is_flag


def says(value: object) -> bool:
    """Whether a cell holds a text, or messages, and no flag."""
    return isinstance(value, (str, list, Mapping)) and bool(value) and not is_blank(value) and not is_flag(value)


def ends_with_answer(value: object) -> bool:
    """Whether the last of these messages is no user's."""
    said = decoded(value) if isinstance(value, str) else value
    last = said[-1] if isinstance(said, list) and said else None
    return isinstance(last, Mapping) and last.get("role", last.get("from")) not in ("user", "human")


def is_listed(value: object) -> bool:
    """A list, also one in a string, or an object of columns."""
    if isinstance(value, str):
        value = decoded(value)
    return isinstance(value, (list, Mapping)) or value is None


def asks(value: object) -> bool:
    """An object that holds what is asked: messages (OpenAI's preference format), or a post (TL;DR)."""
    return isinstance(value, Mapping) and (
        isinstance(value.get("messages"), list) or isinstance(value.get("post"), str)
    )


def in_turn(value: object, name: str) -> bool:
    """Whether a list is a conversation as Gemini (`contents`) or UltraChat (`data`) writes one."""
    if name == "data":
        return isinstance(value, list) and len(value) % 2 == 0 and are_texts(value)
    return isinstance(value, list) and bool(value) and all(isinstance(i, Mapping) and "parts" in i for i in value)


def is_talk(value: object) -> bool:
    """Whether a list holds messages of a user, whatever its column is called."""
    items = value if isinstance(value, list) else []
    spoken = [item.get("role", item.get("from")) for item in items if isinstance(item, Mapping)]
    said = any("content" in item or "value" in item for item in items if isinstance(item, Mapping))
    return said and len(spoken) == len(items) and not {"user", "human"}.isdisjoint(map(str, spoken))


def are_texts(value: object) -> bool:
    """A list of texts alone, also of `{"content": …}` (Arena-Hard): turns of whom?"""
    value = decoded(value) if isinstance(value, str) else value
    return isinstance(value, list) and bool(value) and all(isinstance(bare_text(item), str) for item in value)


def bare_text(item: object) -> object:
    """The text of an object that holds nothing else; anything else as it is."""
    return item["content"] if isinstance(item, Mapping) and set(item) == {"content"} else item
