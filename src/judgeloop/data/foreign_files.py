"""Files that hold no data, or hold it in a way that is not read: known by how they begin, and refused by name."""

from __future__ import annotations

import re
from pathlib import Path

from judgeloop.errors import InputError

_BRING = "bring JSONL, a JSON array, CSV (gzip allowed) or Parquet"
_SHEET = "save the sheet as CSV (UTF-8)"
_MAGIC = (
    (b"PK\x03\x04", "a zip archive", _BRING),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook or another file of Office", _SHEET),
    (b"SQLite format 3\0", "an SQLite database", "write its rows as CSV or JSONL"),
    (b"%PDF-", "a PDF", _BRING),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", _BRING),
    (b"BZh", "compressed with bzip2", _BRING),
    (b"\xfd7zXZ", "compressed with xz", _BRING),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _BRING),
    (b"ARROW1", "an Arrow file", _BRING),
    (b"\xff\xff\xff\xff", "an Arrow stream, as `datasets` caches it", "name the folder that save_to_disk wrote"),
    (b"\x93NUMPY", "a NumPy array", _BRING),
    (b"\x80\x04\x95", "a pickle", "write its rows as JSONL"),
    (b"\x80\x05\x95", "a pickle", "write its rows as JSONL"),
    (b"\x1f\x8b", "gzipped twice", _BRING),
    (b"version https://git-lfs.github.com/", "a git-lfs pointer, not the data", "run `git lfs pull` where it is"),
)
_PAGE = re.compile(rb"\s*<(?:!doctype html|html)[\s>]", re.IGNORECASE)
_YAML = re.compile(rb"(?:\s*#[^\n]*\n|---[ \t]*\r?\n)*(?:- )?[\w-]+:(?:[ \t]+[^\n]*)?\r?\n")


def refuse_foreign(head: bytes, path: Path) -> None:
    """Raise InputError if the beginning of a file, unpacked, tells that it is none of ours."""
    if head.startswith(b"PAR1"):
        raise InputError.at(path, None, "is a gzipped Parquet file", "unpack it first")
    if head.startswith(b"PK\x03\x04") and (b"xl/" in head or path.suffix == ".xlsx"):
        raise InputError.at(path, None, "is an Excel workbook", _SHEET)
    for magic, name, remedy in _MAGIC:
        if head.startswith(magic):
            raise InputError.at(path, None, f"is {name}", remedy)
    if head[257:262] == b"ustar":
        raise InputError.at(path, None, "is a tar archive", "unpack it and name the file in it")
    if _PAGE.match(head):
        raise InputError.at(path, None, "is a web page, not data", "download the file itself")
    if path.suffix == ".parquet":
        raise InputError.at(path, None, "is called Parquet and is none", "copy the file again, or mend its name")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError.at(path, 1, "is UTF-16", "save the file as UTF-8")
    if b"\0" in (head[:1], head[1:2]):
        raise InputError.at(path, 1, "is UTF-16 without its mark, or no text", "save the file as UTF-8")
    if path.suffix in (".yaml", ".yml") or (path.suffix not in (".csv", ".tsv") and _YAML.match(head)):
        raise InputError.at(path, None, "is YAML", _BRING)
