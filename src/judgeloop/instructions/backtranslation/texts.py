"""Texts that a user has: folders and files of plain text, Markdown, HTML, JSONL and Parquet, one document at a time."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects

Form = Literal["plain text", "Markdown", "HTML"]
FILES: dict[str, Form] = {
    ".txt": "plain text",
    ".text": "plain text",
    ".md": "Markdown",
    ".markdown": "Markdown",
    ".html": "HTML",
    ".htm": "HTML",
    ".xhtml": "HTML",
}
TABLES = (".jsonl", ".jsonl.gz", ".parquet")
_PAGE = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_CHARSET = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Document:
    """One text: what it was taken for, and where it is. `line` is set for rows of a table (JSONL line, Parquet row
    from 1); lines inside a file of its own are counted from its beginning."""

    form: Form
    text: str
    place: str
    line: int | None = None


@dataclass(slots=True)
class Reading:
    """What was found: documents by form, and what was left out by reason, with the first files of each reason."""

    documents: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, reason: str, place: str) -> None:
        self.left_out[reason] += 1
        places = self.named.setdefault(reason, [])
        if len(places) < 5:
            places.append(place)


def read_texts(paths: Iterable[str], text_key: str, reading: Reading) -> Iterator[Document]:
    """Yield the documents of all paths, in order; a folder's files (plain text, Markdown, HTML) in sorted order.

    In a folder, hidden files, other kinds of files and files that are not text in their encoding are left out and
    counted in `reading`; a file that is named must be readable. Raises InputError if one is not, or if a row of
    JSONL or Parquet has no text under `text_key`.
    """
    for name in paths:
        path = Path(name)
        if path.is_dir():
            yield from _folder(path, reading)
        elif not path.is_file():
            raise InputError.at(path, None, "no such file or folder", "check backtranslation.texts")
        elif (form := FILES.get(path.suffix.lower())) is not None:
            try:
                text = _decode(path, form)
            except UnicodeDecodeError as error:
                raise InputError.at(path, None, f"is not {error.encoding.upper()}", "save it as UTF-8") from error
            yield from _document(Document(form, text, path.name), reading)
        elif path.name.lower().endswith(TABLES):
            rows: Callable[[Path, str], Iterator[tuple[int, Any]]] = (
                _parquet_rows if path.suffix.lower() == ".parquet" else _json_rows
            )
            for line, value in rows(path, text_key):
                if value is not None and not isinstance(value, str):
                    raise InputError.at(
                        path, line, f"'{text_key}' is not text", "name another backtranslation.text_key"
                    )
                text = value or ""
                form = "HTML" if _PAGE.match(text) else "plain text"
                yield from _document(Document(form, text, path.name, line), reading)
        else:
            known = ", ".join([*FILES, *TABLES])
            raise InputError.at(path, None, "is no kind of file that texts are read from", f"bring one of {known}")


def _document(document: Document, reading: Reading) -> Iterator[Document]:
    if not document.text.strip():
        reading.leave_out(
            "empty text", document.place if document.line is None else f"{document.place}:{document.line}"
        )
        return
    reading.documents[document.form] += 1
    yield document


def _folder(folder: Path, reading: Reading) -> Iterator[Document]:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        place = path.relative_to(folder.parent).as_posix()
        form = FILES.get(path.suffix.lower())
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            reading.leave_out("hidden file", place)
        elif form is None:
            reading.leave_out("another kind of file", place)
        else:
            try:
                text = _decode(path, form)
            except UnicodeDecodeError:
                reading.leave_out("file is not text in its encoding", place)
                continue
            yield from _document(Document(form, text, place), reading)


def _decode(path: Path, form: Form) -> str:
    """The file as text: UTF-8, or what a byte order mark or, in HTML, a `meta` element says."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError.at(path, None, f"cannot be read ({error.strerror})", "check the path") from error
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif form == "HTML" and (named := _CHARSET.search(data[:2048])):
        try:
            encoding = codecs.lookup(named.group(1).decode("ascii")).name
        except LookupError:  # a name that no one knows: most pages are UTF-8 whatever they say
            encoding = "utf-8-sig"
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def _json_rows(path: Path, key: str) -> Iterator[tuple[int, Any]]:
    for line, row in read_objects(path, brought=True):
        if key not in row:
            raise InputError.at(path, line, f"a row without '{key}'", "name its key in backtranslation.text_key")
        yield line, row[key]


def _parquet_rows(path: Path, key: str) -> Iterator[tuple[int, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            if key not in file.schema_arrow.names:
                names = ", ".join(file.schema_arrow.names[:8])
                raise InputError.at(
                    path, None, f"no column '{key}' (its columns: {names})", "name one in backtranslation.text_key"
                )
            number = 0
            for batch in file.iter_batches(batch_size=256, columns=[key]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield number, value
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError.at(path, None, f"cannot be read as Parquet ({error})", "write the file again") from error
