"""As much of Go's template language as Ollama needs for a Modelfile of ours, to see what such a template writes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

Node = tuple[Any, ...]
_ACTION = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)


def render(template: str, messages: Sequence[dict[str, str]]) -> str:
    nodes, rest = _parse(_ACTION.split(template), 0)
    assert rest is None
    return _write(nodes, {"Messages": list(messages)}, {})


def _parse(parts: list[str], place: int) -> tuple[list[Node], Any]:
    """Nodes up to the end of the block; and what ended it: (words, place after it), None at the end of the text."""
    found: list[Node] = []
    while place < len(parts):
        text = parts[place]
        if place % 2 == 0:
            found.append(("text", text))
            place += 1
            continue
        word = text.split(" ", 1)[0]
        if word in ("end", "else"):
            return found, (text, place + 1)
        if word == "if":
            branches = [(text[3:], *_parse(parts, place + 1))]
            while branches[-1][2][0] != "end":
                said, after = branches[-1][2]
                branches.append((said.removeprefix("else").strip().removeprefix("if").strip(), *_parse(parts, after)))
            found.append(("if", [(condition, body) for condition, body, _ in branches]))
            place = branches[-1][2][1]
        elif word == "range":
            body, (said, place) = _parse(parts, place + 1)
            assert (text, said) == ("range $i, $_ := .Messages", "end")
            found.append(("range", body))
        else:
            found.append(("value", text))
            place += 1
    return found, None


def _write(nodes: Sequence[Node], dot: dict[str, Any], names: dict[str, Any]) -> str:
    written = ""
    for kind, what in nodes:
        if kind == "text":
            written += what
        elif kind == "range":
            for number, message in enumerate(dot["Messages"]):
                inner = {**names, "i": number, "$": dot}
                written += _write(what, message, inner)
        elif kind == "if":
            for condition, body in what:
                if not condition or _holds(condition, dot, names):
                    written += _write(body, dot, names)
                    break
        elif what.startswith('"'):
            written += json.loads(what)
        elif what == ".Content":
            written += dot["content"]
        else:
            assert what == "$last := eq (len (slice $.Messages $i)) 1"
            names["last"] = len(names["$"]["Messages"][names["i"] :]) == 1
    return written


def _holds(condition: str, dot: dict[str, Any], names: dict[str, Any]) -> bool:
    if match := re.fullmatch(r'ne \(index \.Messages 0\)\.Role "(\w+)"', condition):
        return bool(dot["Messages"][0]["role"] != match[1])
    if match := re.fullmatch(r'eq \.Role "(\w+)"', condition):
        return bool(dot["role"] == match[1])
    if condition == "not $last":
        return not names["last"]
    assert condition == 'and $last (ne .Role "assistant")', condition
    return bool(names["last"] and dot["role"] != "assistant")
