"""JSON rows in files, one a line: how they are read, appended so that a kill loses nothing, and written whole."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from judgeloop.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Identified(Protocol):
    """A row (a dataclass) that its `id` names."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound="DataclassInstance")
Row = TypeVar("Row", bound=Identified)
Item = TypeVar("Item")
_TAIL = 1 << 20  # bytes at a file's end in which its last whole line is looked for first


def to_line(row: DataclassInstance | Mapping[str, Any]) -> str:
    """One JSON line, newline included. Fields that are None and optional stay out of the file."""
    if isinstance(row, Mapping):
        data = dict(row)
    else:
        defaults = {f.name: f.default for f in dataclasses.fields(row) if f.default is not dataclasses.MISSING}
        data = {
            f.name: getattr(row, f.name)
            for f in dataclasses.fields(row)
            if not (f.name in defaults and getattr(row, f.name) == defaults[f.name])
        }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"


def raw_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file; gzip is known by its first two bytes, whatever the file is called."""
    try:
        handle = path.open("rb")
    except OSError as error:
        raise InputError.at(path, None, f"cannot be read ({error.strerror})", "check the path") from error
    with handle:
        packed = handle.read(2) == b"\x1f\x8b"
        handle.seek(0)
        if not packed:
            yield from handle
            return
        try:
            with gzip.GzipFile(fileobj=handle) as unpacked:
                yield from unpacked
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError.at(path, None, f"broken gzip ({error})", "copy the file again") from error


def read_objects(path: Path, *, brought: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a JSONL file, gzipped or not; blank lines are skipped.

    Raises InputError with file and line where a line is not a JSON object or not UTF-8. `brought`: by a user, so that a
    field that is there twice with different values is an error too; to look for it takes longer than to read.
    """
    from pydantic_core import from_json

    for number, raw in enumerate(raw_lines(path), 1):
        try:  # twice as fast as json.loads; what it refuses is read again below, for the true cause
            value = from_json(raw)
        except ValueError:
            value = None
        if isinstance(value, dict):
            if brought and (twice := repeated_in(value, raw)) is not None:
                raise InputError.at(path, number, TWICE.format(twice), "mend or remove the line")
            yield number, value
            continue
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError.at(path, number, "is not UTF-8", "save the file as UTF-8") from error
        if not text.strip():
            continue
        try:
            value = json.loads(text)
            if "\\ud" in text.lower():  # the escape of a surrogate: only whole pairs can be written again
                json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError.at(path, number, "has half of a surrogate pair", "write the whole character") from error
        except (ValueError, RecursionError) as error:
            raise InputError.at(
                path, number, f"broken JSON ({why_broken(error)})", "mend or remove the line"
            ) from error
        if not isinstance(value, dict):
            raise InputError.at(path, number, "is not a JSON object", 'write one {"…": …} object a line')
        if brought and (twice := repeated_in(value, raw)) is not None:
            raise InputError.at(path, number, TWICE.format(twice), "mend or remove the line")
        yield number, value


def repeated_in(value: Mapping[str, Any], raw: bytes) -> str | None:
    """The field that an object's JSON has twice with different values, of which a parser keeps but the last; None if
    there is none. Only what has a name twice is parsed again."""
    if all(raw.count(b'"%b"' % key.encode("utf-8", "surrogatepass")) < 2 for key in value):
        return None
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs[:] = found  # the outermost object comes last
        return dict(found)

    try:
        json.loads(raw, object_pairs_hook=keep)
    except (ValueError, RecursionError):  # what it refuses, the faster parser may take
        return None
    seen: dict[str, str] = {}
    return next((key for key, other in pairs if seen.setdefault(key, said := json.dumps(other)) != said), None)


TWICE = "has the field '{}' twice, with different values"


def why_broken(error: ValueError | RecursionError) -> str:
    """What is wrong with a JSON text, in words."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return error.msg if isinstance(error, json.JSONDecodeError) else "a number of too many digits"


def each_row(path: Path, kind: type[R]) -> Iterator[R]:
    """The rows of an artifact of ours, one after another, whatever its size. Unknown fields are allowed (others may add
    theirs) and left out."""
    fields = dataclasses.fields(kind)
    required = [f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    names = [f.name for f in fields]
    for number, value in read_objects(path):
        for name in required:
            if name not in value:
                raise InputError.at(path, number, f"a {kind.__name__} row without '{name}'", "restore the file")
        yield kind(**{name: value[name] for name in names if name in value})


def read_rows(path: Path, kind: type[R]) -> list[R]:
    """`each_row` in a list."""
    return list(each_row(path, kind))


class RowLog:
    """Append rows to a JSONL file so that a kill at any moment loses at most the row being written.

    Opening cuts off a torn last line (one without newline, or not JSON: it was owed and is owed again); finished
    lines keep every byte. Each append is one write and one flush.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folder(path.parent)
        self._cut_torn_end()
        self._handle = path.open("ab", buffering=0)

    def _cut_torn_end(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as handle:
            end, size, keep = handle.seek(0, os.SEEK_END), _TAIL, None
            while keep is None:
                start = handle.seek(max(0, end - size))
                keep = _whole_lines(handle.read(), start)
                size *= 8
        if keep != end:
            os.truncate(self.path, keep)

    def append(self, rows: Iterable[DataclassInstance | Mapping[str, Any]]) -> None:
        """Write all rows in one go."""
        data = "".join(to_line(row) for row in rows).encode("utf-8")
        view = memoryview(data)
        while view:
            view = view[self._handle.write(view) :]

    def close(self) -> None:
        os.fsync(self._handle.fileno())
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _whole_lines(tail: bytes, start: int) -> int | None:
    """Where in its file the last line that is JSON ends, by the file's `tail` from `start` on; None if only what is
    before the tail says so."""
    keep = tail.rfind(b"\n") + 1
    while keep:
        begin = tail.rfind(b"\n", 0, keep - 1) + 1
        if start and not begin:
            break
        try:
            json.loads(tail[begin:keep])
            return start + keep
        except (json.JSONDecodeError, UnicodeDecodeError):
            keep = begin
    return None if start else 0


def append_missing(
    path: Path,
    kind: type[Row],
    items: Sequence[Item],
    ids: Callable[[Item], Sequence[str]],
    produce: Callable[[list[Item]], Iterable[Row]],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Ask for the rows of `items` that are not in the file yet, and append each as it arrives.

    `ids` names the rows that an item is owed; `produce` is given the items of which any is missing, and not called if
    there are none, so what it loads is loaded only if needed. A row that is there already is not written again.
    `progress(done, total)` is called after each row. A killed process loses at most the row being written. Of the rows
    that are there, the ids alone are kept in memory.
    """
    with RowLog(path) as log:
        have = {row.id for row in each_row(path, kind)}
        total = sum(len(ids(item)) for item in items)
        owed = [item for item in items if any(name not in have for name in ids(item))]
        for row in produce(owed) if owed else ():
            if row.id in have:
                continue
            log.append([row])
            have.add(row.id)
            if progress is not None:
                progress(len(have), max(total, len(have)))


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises NotADirectoryError if a file is in the way, whatever is asked for."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error


def write_text_atomically(path: Path, text: str) -> None:
    """Replace `path` in one step: a reader, or a kill, sees the old file or the new one, never half of one."""
    make_folder(path.parent)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(path)


def sync(path: Path) -> None:
    """See to it that a file, or a folder with all that is in it, and its name are on the disk; nothing if there is
    none."""
    if not path.exists():
        return
    for each in [*(path.rglob("*") if path.is_dir() else ()), path, path.parent]:
        if each.is_symlink():
            continue
        handle = os.open(each, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_rows_atomically(path: Path, rows: Iterable[DataclassInstance | Mapping[str, Any]]) -> None:
    """Write a whole artifact that is made in one step (pairs, IFT rows)."""
    write_text_atomically(path, "".join(to_line(row) for row in rows))
