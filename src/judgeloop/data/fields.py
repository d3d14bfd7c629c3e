"""The fields of rows, checked: texts, numbers, ranked responses.

What has the wrong type or shape is an InputError with file and line; what is well formed but empty or cannot be used
raises Unusable, which the reader counts.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from judgeloop.data.printed_lists import printed_value
from judgeloop.data.provenance import Place, Unusable
from judgeloop.records import Message


def text_of(value: object, name: str, place: Place, what: str) -> str:
    """A field that must hold text; the reasons say `what` it is.

    Raises InputError where it is no string or cannot be encoded, Unusable where it is null, blank or holds NUL.
    """
    if value is not None and not is_missing(value) and not isinstance(value, str):
        raise place.error(f"'{name}' is {kind_of(value)}, not text", f"write {name} as a string")
    if is_missing(value) or not isinstance(value, str) or not value.strip():
        raise Unusable(f"empty {what}")
    if "\0" in value:
        raise Unusable(f"{what} with NUL characters")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise place.error(f"'{name}' holds half of a surrogate pair (\\ud8…)", "mend the escape in the text") from error
    return value


def is_missing(value: object) -> bool:
    """Whether there is no value: a null, the NaN that pandas writes into JSON for one, or a database's into CSV."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or value == "\\N"


def decoded(value: str) -> object:
    """A list of texts or of objects that was written into a string, as JSON or as Python prints it (a table of lists
    saved as CSV); else the string itself."""
    text = value.strip()
    if not (text.startswith("[") and text.endswith("]")) and not (text.startswith("{") and text.endswith("}")):
        return value
    broken = (ValueError, SyntaxError, RecursionError, MemoryError)
    for read in (json.loads, printed_value):
        try:
            found = read(text)
        except broken:
            continue
        objects = [found] if isinstance(found, dict) else found
        if (
            isinstance(objects, list)
            and objects
            and (
                all(isinstance(item, dict) for item in objects) or all(isinstance(item, str | None) for item in objects)
            )
        ):
            return found
    return value


def numbers_of(value: object) -> list[object] | None:
    """A list, also one of numbers that was written into a string ("[5, 1]", "5 1"); None if it is something else."""
    if isinstance(value, str):
        cells = re.sub(r"[\[\](),]", " ", value).split()
        known = [number_of(cell) for cell in cells]
        if len(cells) < 2 or any(
            n is None and c.casefold() not in _NO_NUMBER for n, c in zip(known, cells, strict=True)
        ):
            return None
        return list(known)
    return value if isinstance(value, list) else None


_NO_NUMBER = ("null", "none", "nan", "na", "n/a")


def number_of(value: object) -> float | None:
    """A number, also one that a table of text holds ("4", "4/5" is none, "true" is 1.0); None if it is none."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in ("true", "false"):
            return float(word == "true")
        try:
            value = float(word)
        except ValueError:
            return None
    try:
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    except OverflowError:  # a whole number beyond any float
        return None


def rows_of_columns(value: object) -> object:
    """A list of objects that a table stores as an object of equally long lists, turned round; else the value itself."""
    if not isinstance(value, Mapping) or not value or not all(isinstance(column, list) for column in value.values()):
        return value
    if len({len(column) for column in value.values()}) != 1:
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


def items_of(value: object) -> object:
    """The list that a table keeps as text or as columns; else the value itself."""
    return decoded(value) if isinstance(value, str) else rows_of_columns(value)


def rank_of(value: object, name: str, place: Place) -> int:
    """A whole number; tables store ranks that may be missing as 0.0, 1.0, …"""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise place.error(f"'{name}' is {kind_of(value)}, not a whole number", "count the ranks from 0, the best")
    return value


def dense(responses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The responses best first (equal ranks in the order given), with ranks 0, 1, 2 … without gaps."""
    ranks = sorted({response["rank"] for response in responses})
    ordered = sorted(responses, key=lambda response: ranks.index(response["rank"]))
    return [{**response, "rank": ranks.index(response["rank"])} for response in ordered]


def normalised(text: str) -> str:
    """A text as leakage checks compare it: compatibility forms, case, spacing and punctuation made equal."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"[^\W_]+", plain)) or " ".join(plain.split())


def prompt_keys(messages: list[Message]) -> Iterator[str]:
    """Normalised forms of the conversation up to each user turn, the whole prompt last; system messages left out."""
    turns = [m for m in messages if m["role"] != "system"]
    for end, message in enumerate(turns, 1):
        if message["role"] == "user":
            yield "\n".join(f"{m['role']}: {normalised(m['content'])}" for m in turns[:end])


def kind_of(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
