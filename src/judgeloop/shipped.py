"""Texts that ship with the package, such as rubrics and templates, and who wants to know that one was read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources

Heard = Callable[[str, str], None]
"""Called with a text's name ("judgeloop.judging/rubrics/additive-5.en.txt") and its hash."""
_listeners: list[Heard] = []


@lru_cache(maxsize=256)
def ships(package: str, name: str) -> bool:
    """Whether a package has a file, by its path in there."""
    return (resources.files(package) / name).is_file()


def shipped_text(package: str, name: str) -> str:
    """The text of a file of a package, by its path in there."""
    text = _text(package, name)
    for listener in _listeners:
        listener(f"{package}/{name}", _hash(text))
    return text


def hash_now(name: str) -> str | None:
    """The hash of a text by the name that a listener was told; None if it ships no more."""
    package, _, file = name.partition("/")
    try:
        return _hash(_text(package, file))
    except (OSError, ModuleNotFoundError):
        return None


@contextmanager
def listening(listener: Heard) -> Iterator[None]:
    """Within this, the listener is told of every text that is read."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@lru_cache(maxsize=256)
def _text(package: str, name: str) -> str:
    return (resources.files(package) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
