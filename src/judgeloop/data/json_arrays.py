"""Rows of a JSON array, read as they pass: a file takes the memory of its longest line or row, whatever its size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from judgeloop.data.provenance import Place
from judgeloop.errors import InputError
from judgeloop.jsonl import TWICE, raw_lines, repeated_in, why_broken

_BLANK = " \t\r\n"


def array_rows(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield (place, object) of a file that holds one JSON array of objects, gzipped or not.

    Raises InputError with the line where the JSON breaks, and with the row where an element is no object.
    """
    text = _Text(path)
    text.expect("[", "the array's beginning")
    number = 0
    if text.next() == "]":
        text.expect("]", "")
    else:
        while True:
            number += 1
            value = text.value(number)
            place = Place(path, number, "row")
            if not isinstance(value, dict):
                raise place.error("is not a JSON object", 'write [{"…": …}, …]')
            yield place, value
            if text.next() == "]":
                text.expect("]", "")
                break
            text.expect(",", f"a comma or ']' after row {number}")
    if text.next():
        raise text.error("more text after the array's end", "keep one array, or write JSONL")


class _Text:
    """The part of a file that is being parsed. What is done with is let go; more is read when it is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = raw_lines(path)
        self._read = 0  # lines
        self._text = ""
        self._at = 0
        self._line = 1  # of the first character of the text
        self._decoder = json.JSONDecoder()

    def next(self) -> str:
        """The next character that is not blank, which stays; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(1):
                return ""

    def expect(self, wanted: str, what: str) -> None:
        """Step over one character. Raises InputError where it is another."""
        found = self.next()
        if found != wanted:
            if not found:
                raise self.error(f"the file ends where {what} should be", "copy it again: it was cut off")
            raise self.error(f"broken JSON ({found!r} where {what} should be)", "mend the file")
        self._at += 1

    def value(self, number: int) -> Any:
        """The element that begins here; `number` names it in errors."""
        self.next()
        self._let_go()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if "\\ud" in self._text[self._at : end].lower():  # only whole pairs can be written again
                    json.dumps(value, ensure_ascii=False).encode("utf-8")
            except json.JSONDecodeError as error:
                if self._more(len(self._text)):  # twice as much each time, so that a long row is not read for ever
                    continue
                cut_off = not self._text[self._at :].rstrip().endswith("]")
                remedy = "copy the file again: it was cut off" if cut_off else "mend the row"
                self._at = error.pos
                raise self.error(f"broken JSON in row {number} ({error.msg})", remedy) from error
            except UnicodeEncodeError as error:
                raise self.error(f"half of a surrogate pair in row {number}", "write the whole character") from error
            except RecursionError as error:
                raise self.error(f"row {number} is nested too deeply", "mend the row") from error
            except ValueError as error:
                raise self.error(f"broken JSON in row {number} ({why_broken(error)})", "mend the row") from error
            if isinstance(value, dict):
                twice = repeated_in(value, self._text[self._at : end].encode("utf-8", "surrogatepass"))
                if twice is not None:
                    raise self.error(f"row {number} {TWICE.format(twice)}", "mend or remove the row")
            self._at = end
            return value

    def error(self, problem: str, remedy: str) -> InputError:
        return InputError.at(self._path, self._line + self._text.count("\n", 0, self._at), problem, remedy)

    def _let_go(self) -> None:
        if self._at <= len(self._text) // 2:  # else each row of a long line would copy all that follows it
            return
        self._line += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :]
        self._at = 0

    def _more(self, wanted: int) -> bool:
        """Read whole lines until `wanted` more characters are there; False at the end of the file."""
        parts = []
        while wanted > 0:
            raw = next(self._lines, None)
            if raw is None:
                break
            self._read += 1
            try:
                parts.append(raw.decode("utf-8-sig" if self._read == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise InputError.at(self._path, self._read, "is not UTF-8", "save the file as UTF-8") from error
            wanted -= len(parts[-1])
        self._text += "".join(parts)
        return bool(parts)
