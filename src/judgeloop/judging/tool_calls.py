"""The arguments of a tool call that a judge wrote in place of a text: `grade(score=4)`, or a chat format's elements."""

from __future__ import annotations

import json
import re
from typing import Any

_STRING = r"""(?:"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')"""
_ARGUMENT = rf"(?P<name{{n}}>[A-Za-z_]\w{{{{0,40}}}})\s?=\s?(?P<value{{n}}>{_STRING}|[^\s,()\"']{{{{1,20}}}})"
_ONE = re.compile(_ARGUMENT.format(n=""))
# A call is one if nothing else is said: with words around it, it may be the response's.
_CALL = re.compile(
    r"[^\w]{0,20}(?:(?:tool_code|python|tool_call)[^\w]{1,9})?(?:print\()?[A-Za-z_][\w.]{0,60}"
    rf"\(\s*(?:{_ARGUMENT.format(n='_1')}\s*,\s*)*+{_ARGUMENT.format(n='_2')}\s*\)[^\w]*(?:</?tool_call>)?[^\w]*"
)
# Qwen3-Coder and Claude write the first, GLM the second.
_ELEMENT = re.compile(
    r"<parameter(?:=|[ ]name=\")(?P<name>\w{1,40})\"?>(?P<value>[^<]{0,4000})</parameter>"
    r"|<arg_key>\s?(?P<key>\w{1,40})\s?</arg_key>\s{0,4}<arg_value>(?P<given>[^<]{0,4000})</arg_value>"
)


def call_spans(text: str) -> list[tuple[int, int, dict[str, Any]]]:
    """The calls in a text, with where they are."""
    if "<parameter" in text or "<arg_key>" in text:
        found = list(_ELEMENT.finditer(text))
        given = {one["name"] or one["key"]: (one["value"] or one["given"] or "").strip() for one in found}
        return [(found[0].start(), found[-1].end(), given)] if found else []
    if "=" not in text or not text.rstrip(" \n`]>").endswith(")") or _CALL.fullmatch(text) is None:
        return []
    return [(0, len(text), {one["name"]: one["value"].strip("\"'") for one in _ONE.finditer(text)})]


def opened(found: dict[str, Any]) -> dict[str, Any]:
    """A JSON object with the arguments of a call as an object, where it has them as a text."""
    given = found.get("arguments")
    if isinstance(given, str) and given.lstrip().startswith("{"):
        try:
            return {**found, "arguments": json.loads(given, parse_float=str)}
        except (ValueError, RecursionError):
            return found
    return found
