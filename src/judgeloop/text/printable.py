"""Text that is safe to print: what a model or a file says must not move the cursor, colour the screen or the like."""

from __future__ import annotations

import re

# Control characters but for the line feed and the tab; half surrogate pairs, which no encoding takes; and characters
# that turn the direction of what follows, so that a line reads otherwise than it is written.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_ENDS = re.compile("\r\n|[\u0085\u2028\u2029]")


def printable(text: str) -> str:
    """The text with each control character shown as a sign for it, ␛ for an escape, and with line feeds alone as line
    ends. Tabs become four spaces."""
    return _UNSAFE.sub(_sign, _LINE_ENDS.sub("\n", text)).replace("\t", "    ")


def _sign(found: re.Match[str]) -> str:
    code = ord(found.group())
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "�"
