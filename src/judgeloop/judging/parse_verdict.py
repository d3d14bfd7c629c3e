"""Read which of two responses a judge prefers from what it wrote, and from nothing else.

As with scores: the last well-formed line wins, and what cannot be read is None with a reason, never a preference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Preference = Literal["first", "second", "neither"]

_FULL_WIDTH = str.maketrans("ＡＢａｂ：．［］（）", "ABab:.[]()")
_DECORATION = r"[ \t*_`\"'“”‘’<(\[【{]*"
_LABEL = re.compile(
    rf"(?:^|[\n.!?。！？;；])[ \t>#*_`\"'“”‘’\-]*"  # start of a line or of a sentence, then decoration
    rf"(?:the[ \t]+)?(?:better|preferred|winner|verdict|更好)(?:[ \t]+(?:one|answer|response|assistant))?"
    rf"[ \t*_`\"'“”‘’]*(?:[:=]|[ \t]is[ \t]){_DECORATION}(?=(?P<said>[^\n]*))",
    re.IGNORECASE,
)
_SIDE = re.compile(
    r"(?:(?:the|answer|response|assistant|option|回答|答案)[ \t]*)*(?P<side>a|b|first|second|前者|后者)(?![a-z0-9])",
    re.IGNORECASE,
)
_NEITHER = re.compile(r"(?:a[ \t]+)?(?:tie|neither|both|equal|same|draw|平局|一样|相同)(?![a-z])", re.IGNORECASE)
_MORE = re.compile(r"[ \t*_`\"'“”)\]}>]*(?:/|,|&|\bor\b|\band\b|或|和|、)[ \t]*(?:a|b)(?![a-z0-9])", re.IGNORECASE)
_ARTICLE = re.compile(r"[ \t]+[a-z]")  # "a little of each"
_BARE = re.compile(r"[\s*_`\"'“”‘’<(\[【{]*(?P<side>[AB])[\s*_`\"'“”‘’>)\]】}.。]*")
_SIDES: dict[str, Preference] = {
    "a": "first", "first": "first", "前者": "first", "b": "second", "second": "second", "后者": "second",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the two shown responses is preferred, or None with the reason why that is not known."""

    value: Preference | None
    reason: str | None


def parse_choice(text: str, shown: Sequence[str] = ()) -> Choice:
    """Return the preference of the last verdict line in a judge's text ("Better: A"), or of a text that is A or B only.

    `shown` are the responses it compares: a verdict line that stands in one of them word for word may be a copy, and
    does not count.

    Accepted: any case, bold, quotes, brackets, full-width letters and colon, "Answer A", "the first", and a tie said
    as such. Refused: no verdict line, one that names both ("A or B") or neither in words it does not know.
    """
    plain = text.translate(_FULL_WIDTH)
    bare = _BARE.fullmatch(plain)
    if bare is not None:
        return Choice(_SIDES[bare.group("side").lower()], None)
    lines = list(_LABEL.finditer(plain))
    if not lines:
        return Choice(None, "no verdict line")
    theirs = {_squeezed(line) for response in shown for line in response.splitlines()}
    own = [line for line in lines if _squeezed(line.group() + line.group("said")) not in theirs]
    if not own:
        return Choice(None, "its verdict line stands in a response too")
    said = own[-1].group("said")
    if _NEITHER.match(said):
        return Choice("neither", None)
    side = _SIDE.match(said)
    if side is None or (side.group() == "a" and _ARTICLE.match(said[side.end() :])):
        return Choice(None, "neither A nor B on the verdict line")
    if _MORE.match(said[side.end() :]):
        return Choice(None, "A and B on the verdict line")
    return Choice(_SIDES[side.group("side").lower()], None)


def _squeezed(line: str) -> str:
    """Letters and digits alone, in one case and width."""
    return "".join(re.findall(r"\w", line.translate(_FULL_WIDTH).casefold()))
