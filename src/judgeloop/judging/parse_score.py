"""Read the score from what the judge wrote, and from nothing else.

The last well-formed score line wins; a missing, out-of-range or ambiguous score is None with a reason, never a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from judgeloop.records import MAX_SCORE

_FULL_WIDTH = str.maketrans("０１２３４５６７８９：．／－（）＋＝％，；", "0123456789:./-()+=%,;")
_DASHES = "\u2013\u2014\u2212"
_DECORATION = r"""[ \t*_`"'“”‘’「」]*"""
_NUMBER = re.compile(
    rf"""(?P<sign>[-{_DASHES}]\s*)?(?P<value>\d{{1,9}}(?:\.\d{{1,9}})?)(?P<rest>.*)""", re.VERBOSE | re.DOTALL
)
_OUT_OF = re.compile(
    rf"{_DECORATION}(?:(?:points?|pts\.?|stars?|分){_DECORATION})?[(\[<]?{_DECORATION}"
    rf"(?:/|out[ \t]+of[ \t]+|of[ \t]+|满分(?:为|是)?){_DECORATION}(?P<total>\d{{1,9}})(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
# A second number that the first is set against: a range, an alternative, a sum, a correction, a list to the line's end.
_SECOND = re.compile(
    rf"{_DECORATION}(?:(?:[-{_DASHES}~&+=×→]|[-=]>|(?:to|or|and)\b|到|至|或|和|、){_DECORATION}|(?<=[ \t*_`\"'“”‘’])"
    rf"|[,;|]{_DECORATION}(?=\d[\d.,;|*_` \t]*$))\d",
    re.IGNORECASE,
)
_GLUED = re.compile(
    r"[.,/]\d|[ \t]*%|e[-+]?\d|(?!(?:points?|pts|stars?|out|of|to|or|and|p)(?![a-z]))[a-z]", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Score:
    """`value` on the rubric's scale, or None with the reason why there is none."""

    value: float | None
    reason: str | None


def parse_score(text: str, low: int = 0, high: int = MAX_SCORE, label: str | None = None) -> Score:
    """Return the score of the last score line in a judge's text.

    `low` and `high` bound the scale; `label` is a rubric's own word for "Score", known beside the usual ones.

    Accepted: any case, spaces, bold, quotes, brackets, full-width colon and digits, "4/5", "4 out of 5", "4.5",
    "4 points". Refused: no score line, a number outside the scale, more than one number ("3-4", "3 or 4", "1+1+1"), a
    total other than `high`, a percentage, a text after the label that is not a number. The number stands on the label's
    own line: under a heading "Score:" the next line may be the first item of a list. Other numbers never count.
    """
    reason = "no score line"
    for match in reversed(list(_lines(text, label))):
        number = _NUMBER.match(match.group("number"))
        if number is not None:
            return _value(number, low, high)
        reason = "no number on the score line"  # a heading such as "Score:" is none; an earlier one may be
    return Score(None, reason)


def score_spans(text: str, label: str | None = None) -> list[tuple[int, int]]:
    """Where the score lines stand that hold a number: from the label's first letter to behind the number."""
    spans = []
    for match in _lines(text, label):
        number = _NUMBER.match(match.group("number"))
        if number is not None:
            spans.append((match.start("label"), match.start("number") + number.end("value")))
    return spans


def _lines(text: str, label: str | None) -> Iterator[re.Match[str]]:
    return _pattern(label).finditer(text.translate(_FULL_WIDTH))


@lru_cache(maxsize=32)
def _pattern(label: str | None) -> re.Pattern[str]:
    """A score line: the label at the start of a line (or after a sentence's end), then what should be the number.
    Decoration that models put around either (bold, quotes, brackets) is allowed and carries no meaning."""
    own = rf"{re.escape(label.translate(_FULL_WIDTH))}|" if label else ""
    return re.compile(
        rf"""(?:^|[\n\r.!?。！？;；])[ \t>#*_`"'“”‘’「(\[【<|\-]*   # start of a line or sentence, decoration
            (?P<label>{own}(?:(?:total|final|overall)[ \t]+)?score|(?:最终|最后|总)?(?:得分|评分)|总分){_DECORATION}
            (?:[:=]|[ \t]is[ \t])[ \t*_`"'“”‘’「<(\[【]*            # colon, then decoration
            (?=(?P<number>[^\n\r]{{0,200}}))""",  # looked at, not taken: a later label may stand on the line
        re.IGNORECASE | re.VERBOSE,
    )


def _value(match: re.Match[str], low: int, high: int) -> Score:
    if match.group("sign"):
        return Score(None, "negative score")
    value = float(match.group("value"))
    rest = match.group("rest")
    total = _OUT_OF.match(rest)
    if total is not None:
        if int(total.group("total")) != high:
            return Score(None, f"score out of {total.group('total')}, not {high}")
        rest = total.group("rest")
    if rest[:1].isnumeric() or _GLUED.match(rest):
        return Score(None, "malformed number")
    if _SECOND.match(rest):
        return Score(None, "more than one number on the score line")
    if not low <= value <= high:
        return Score(None, f"score {value:g} outside {low}-{high}")
    return Score(value, None)
