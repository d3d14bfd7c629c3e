"""JSONL files of any size, read a row at a time: where each line begins is kept in memory, the lines stay on the disk.

A million rows cost 8 bytes each for their places, and 12 more if they are looked up by a key.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 22
_TEXTS = frozenset({
    "id", "prompt_id", "candidate_id", "chosen_id", "rejected_id", "text", "thought", "reason", "finish_reason",
    "source",
})  # fmt: skip
_NUMBERS = frozenset({"score", "mass", "chosen_score", "rejected_score"})


class RowFile:
    """The rows of one JSONL file. A last line without newline is still being written, and not a row yet. `refresh`
    takes in what was appended since; a file that became shorter or another one is read anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._ends: NDArray[np.int64] = np.zeros(1, dtype=np.int64)  # of each line, after a 0
        self._inode = -1
        self._keys: dict[str, tuple[int, NDArray[np.int64], NDArray[np.uint32]]] = {}

    def refresh(self) -> RowFile:
        with self._lock:
            try:
                state = self.path.stat()
            except OSError:
                self._forget()
                return self
            if state.st_ino != self._inode or state.st_size < self._ends[-1]:
                self._forget()
                self._inode = state.st_ino
            if state.st_size > self._ends[-1]:
                self._take_in()
        return self

    def _take_in(self) -> None:
        at = int(self._ends[-1])
        found = [self._ends]
        with self.path.open("rb") as handle:
            handle.seek(at)
            while chunk := handle.read(_CHUNK):
                found.append(np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == 10).astype(np.int64) + (at + 1))
                at += len(chunk)
        self._ends = np.concatenate(found)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @property
    def size(self) -> int:
        """Bytes of the whole lines."""
        return int(self._ends[-1])

    def row(self, number: int) -> dict[str, Any] | None:
        """The object of a line (from 0); None if the line is damaged or not there."""
        return next((row for _, row in self.some([number])), None)

    def some(self, numbers: list[int]) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """The objects of these lines."""
        ends = self._ends
        try:
            handle = self.path.open("rb")
        except OSError:
            return
        with handle:
            for number in numbers:
                if 0 <= number < len(ends) - 1:
                    handle.seek(ends[number])
                    yield number, parsed(handle.read(int(ends[number + 1] - ends[number])))

    def lines(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """(number, bytes) of the lines from `start` on."""
        ends = self._ends
        if start >= len(ends) - 1:
            return
        try:
            handle = self.path.open("rb")
        except OSError:
            return
        with handle:
            handle.seek(ends[start])
            for number in range(start, len(ends) - 1):
                yield number, handle.readline()

    def by(self, key: str, of: Callable[[str], str] | None = None) -> Callable[[str], list[dict[str, Any]]]:
        """A look-up of the rows whose `key` is a value, in their order; `of` says what of the value counts. The first
        use reads the file once."""
        name = key if of is None else f"{key} {of.__name__}"
        with self._lock:
            if name not in self._keys or self._keys[name][0] != len(self):
                hashes = np.fromiter((hash(value) for value in self._values(key, of)), dtype=np.int64, count=len(self))
                order = np.argsort(hashes, kind="stable").astype(np.uint32)
                self._keys[name] = len(self), hashes[order], order
            _, hashes, order = self._keys[name]

        def look_up(value: str) -> list[dict[str, Any]]:
            first, last = np.searchsorted(hashes, hash(value), "left"), np.searchsorted(hashes, hash(value), "right")
            found = self.some([int(number) for number in order[first:last]])
            return [row for _, row in found if row is not None and _value(row.get(key), of) == value]

        return look_up

    def _values(self, key: str, of: Callable[[str], str] | None) -> Iterator[str | None]:
        """The value of the key in each line. Inside a text a quotation mark has a backslash before it, so the pattern
        finds no key that a model wrote."""
        pattern = re.compile(rb'[{,]\s*"' + re.escape(key).encode() + rb'"\s*:\s*"([^"\\]*)"')
        for _, line in self.lines():
            found = pattern.search(line)
            value = found[1].decode("utf-8", "replace") if found else (parsed(line) or {}).get(key)
            yield _value(value, of)


def _value(value: object, of: Callable[[str], str] | None) -> str | None:
    text = value if isinstance(value, str) else None
    return of(text) if of is not None and text is not None else text


def parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line, None if it holds none. What should be a text or a number and is neither is made a
    text, or None: the page shows a row that was damaged, and does not fail on it."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    for key in value.keys() & _TEXTS:
        if not isinstance(value[key], str | None):
            value[key] = json.dumps(value[key], ensure_ascii=False)
    for key in value.keys() & _NUMBERS:
        if isinstance(value[key], bool) or not isinstance(value[key], (int, float)):
            value[key] = None
    return value


def said(messages: object) -> str:
    """Chat messages as a text: the last alone if it is the only one, else each with its role."""
    given = [m for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []
    if len(given) == 1:
        return str(given[0].get("content") or "")
    return "\n\n".join(f"{m.get('role')}: {m.get('content')}" for m in given)
