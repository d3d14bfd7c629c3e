"""What rows are kept in: JSONL, a JSON array, CSV or TSV, any of them gzipped, Parquet, folders, data sets of the hub.

Which of them it is, is read from the content; a name's ending counts only for which files of a folder hold data.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from judgeloop.config import HUB
from judgeloop.data.delimited import ENDINGS, delimited_rows, looks_delimited
from judgeloop.data.foreign_files import refuse_foreign
from judgeloop.data.json_arrays import array_rows
from judgeloop.data.provenance import Place
from judgeloop.data.whole_objects import object_rows, read_object, rows_of_object
from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects

DATA_FILES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet", *ENDINGS)
_NO_DATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_HEAD = 65536
_HUB_ID = re.compile(r"[\w.-]+/[\w-]+(\.\d[\w-]*)*")  # and no file's ending

Objects = Iterator[tuple[Place, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Source:
    """An opened source: where it is, what its rows are kept in, and the rows with their places, read as they pass."""

    path: str
    container: str
    rows: Objects


def open_source(source: str | Path) -> Source:
    """Open a file, a folder of data files, a folder that `datasets.save_to_disk` wrote, or `hf:org/name` of the hub.

    Raises InputError where there is none; errors inside the rows are raised as they are reached.
    """
    name = str(source)
    if name.startswith(HUB):
        from judgeloop.data.hub import hub_rows

        container, rows = hub_rows(name)
        return Source(name, container, rows)
    path = Path(name).expanduser()
    try:
        if path.is_dir():
            container, rows = _folder(path)
        else:
            container, rows = _file(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return Source(str(path), container, rows)


def _unreadable(path: Path, error: OSError) -> InputError:
    last = "/".join(path.parts[-2:])
    if isinstance(error, FileNotFoundError) and _HUB_ID.fullmatch(last) and not path.parent.is_dir():
        return InputError.at(path, None, "no such file", f"a data set of the hub is written {HUB}{last}")
    return InputError.at(path, None, f"cannot be read ({error.strerror})", "check the path")


def _file(path: Path) -> tuple[str, Objects]:
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    if head.startswith(_PARQUET):
        from judgeloop.data.tables import parquet_rows

        return "Parquet", parquet_rows(path)
    suffix = ""
    if head.startswith(_GZIP):
        head, suffix = _unpacked(head, path), ", gzip"
    refuse_foreign(head, path)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"[") and not path.name.endswith(ENDINGS):
        return "JSON array" + suffix, array_rows(path)
    if path.name.endswith(ENDINGS) or (start[:1] not in (b"{", b"[") and _is_table(start)):
        container, rows = delimited_rows(path, start.decode("utf-8", "replace"))
        return container + suffix, rows
    whole = read_object(path) if start.startswith(b"{") else None
    table = rows_of_object(whole, path) if whole is not None else None
    if table is not None:
        return table[0] + suffix, object_rows(path, table[1])
    if start.partition(b"\n")[0].strip() == b"{":
        raise InputError.at(
            path, head.count(b"\n", 0, head.index(b"{")) + 1, "an object over several lines",
            "write one object a line (JSONL), or a JSON array of them",
        )  # fmt: skip
    if start and start[:1] not in (b"{", b"["):
        raise InputError.at(
            path, 1, f"holds no JSON objects: it begins {start[:40].decode('utf-8', 'replace').splitlines()[0]!r}",
            "bring JSONL, a JSON array, CSV with a header (named .csv) or Parquet",
        )  # fmt: skip
    return "JSONL" + suffix, ((Place(path, line), row) for line, row in read_objects(path, brought=True))


def _is_table(start: bytes) -> bool:
    return looks_delimited(start.partition(b"\n")[0].decode("utf-8", "replace"))


def _unpacked(head: bytes, path: Path) -> bytes:
    """The beginning of a gzip, as far as it goes: where the file was cut off, reading on will say so."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD)
    except zlib.error as error:
        raise InputError.at(path, None, f"broken gzip ({error})", "copy the file again") from error


def _folder(folder: Path) -> tuple[str, Objects]:
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        from judgeloop.data.tables import saved_rows

        return "datasets folder", saved_rows(folder)
    files = sorted(path for path in folder.iterdir() if path.is_file() and _holds_data(path))
    if not files:
        inside = sorted({p.parent.name for p in folder.glob("*/*") if p.is_file() and _holds_data(p)})
        remedy = f"name one of its folders: {', '.join(inside[:5])}" if inside else f"put {', '.join(DATA_FILES)} there"
        raise InputError.at(folder, None, "is a folder without data files", remedy)
    names = [path.name for path in files]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    count = "1 file" if len(names) == 1 else f"{len(names)} files"
    return f"folder, {count}: {', '.join(names[:5])}{more}", chain.from_iterable(_file(path)[1] for path in files)


def _holds_data(path: Path) -> bool:
    name = path.name
    return name.endswith(DATA_FILES) and not name.startswith((".", "_")) and name not in _NO_DATA
