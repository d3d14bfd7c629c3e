"""Columns within columns: what an object in a cell holds, each part under its path (`meta.is_correct`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from judgeloop.data.chat_exports import unfolded
from judgeloop.data.fields import decoded
from judgeloop.data.provenance import Place

_DEEP = 4  # levels that are looked into
_SPOKEN = frozenset({"content", "parts", "role", "from"})  # of messages, which say nothing of the row


def parts_of(path: str, value: object, deep: int = _DEEP) -> Iterator[tuple[str, Any]]:
    """The parts of an object, or of a list of objects, also of one that was written into a string, each with its path;
    none of anything else."""
    held = decoded(value) if isinstance(value, str) else value
    if isinstance(held, Mapping):
        named = [(str(name), part) for name, part in held.items() if name not in _SPOKEN]
    elif isinstance(held, list) and held and all(isinstance(part, Mapping) for part in held):
        named = [(str(number), part) for number, part in enumerate(held)]
    else:
        return
    for name, part in named:
        here = f"{path}.{name}"
        inner = list(parts_of(here, part, deep - 1)) if deep > 1 else []
        yield from inner or [(here, part)]


def cells_of(path: str, value: object, deep: int = 3) -> Iterator[tuple[str, Any]]:
    """A cell and what objects in it hold, each with its path; lists stay whole."""
    if isinstance(value, Mapping) and deep:
        for name, part in value.items():
            yield from cells_of(f"{path}.{name}", part, deep - 1)
    else:
        yield path, value


def at_path(row: Mapping[str, Any], path: str) -> Any:
    """What a row holds under a path, whose parts are names or, in a list, numbers from 0. Raises KeyError where there
    is nothing."""
    held: Any = row
    rest = path
    while rest:
        held = decoded(held) if isinstance(held, str) else held
        if isinstance(held, list):
            number, _, rest = rest.partition(".")
            if not number.isdigit() or int(number) >= len(held):
                raise KeyError(path)
            held = held[int(number)]
        elif isinstance(held, Mapping):
            names = (name for name in held if isinstance(name, str) and f"{rest}.".startswith(f"{name}."))
            name = max(names, key=len, default=None)  # a name may hold a dot itself
            if name is None:
                raise KeyError(path)
            held, rest = held[name], rest[len(name) + 1 :]
        else:
            raise KeyError(path)
    return held


def lifted(
    rows: Iterable[tuple[Place, dict[str, Any]]], paths: Iterable[str | None]
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The rows, unfolded, each with what it holds under these paths as columns of its own; null where a later row lacks
    it."""
    wanted = [path for path in paths if path is not None and "." in path]
    found: set[str] = set()
    for place, given in rows:
        row, more = unfolded(given), {}
        for path in wanted:
            if path in row:
                continue
            try:
                more[path] = at_path(row, path)
                found.add(path)
            except KeyError:
                if path in found:
                    more[path] = None
        yield place, {**row, **more} if more else row


def is_within(key: str, paths: Iterable[str]) -> bool:
    """Whether one of these paths leads into a column."""
    return any(path.startswith(f"{key}.") for path in paths)
