"""Read the score from what the judge wrote, and from nothing else.

The last well-formed score line wins; a missing, out-of-range or ambiguous score is None with a reason, never a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from judgeloop.judging.rubric import MAX_SCORE

_FULL_WIDTH = str.maketrans("０１２３４５６７８９：．／－", "0123456789:./-")
_DASHES = "\u2013\u2014\u2212"
# A score line: the label at the start of a line (or after a sentence's end), then the number. Decoration that models
# put around either (bold, quotes, brackets) is allowed and carries no meaning.
_LABEL = re.compile(
    r"""(?:^|[\n.!?。！？;；])[ \t>#*_`"'“”‘’\-]*          # start of a line or of a sentence, then decoration
        (?:total[ \t]+|final[ \t]+)?(?:score|得分|总分)[ \t*_`"'“”‘’]*
        (?:[:=]|[ \t]is[ \t])[ \t*_`"'“”‘’<(\[【]*           # colon, then decoration
        (?=(?P<number>[^\n]*))""",  # looked at, not taken: a later label may stand on the line
    re.IGNORECASE | re.VERBOSE,
)
_NUMBER = re.compile(
    rf"""(?P<sign>[-{_DASHES}]\s*)?(?P<value>\d{{1,9}}(?:\.\d{{1,9}})?)(?P<rest>.*)""", re.VERBOSE | re.DOTALL
)
_OUT_OF = re.compile(
    r"[ \t*_`]*(?:/|out[ \t]+of[ \t]+|of[ \t]+)[ \t*_`]*(?P<total>\d{1,9})(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
_SECOND = re.compile(rf"(?:[ \t]*(?:[-{_DASHES}~&]|to\b|or\b|and\b|到|至|或|和)[ \t]*|[ \t]+)\d", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Score:
    """`value` in [0, 5], or None with the reason why there is none."""

    value: float | None
    reason: str | None


def parse_score(text: str) -> Score:
    """Return the score of the last score line in a judge's text.

    Accepted: any case, spaces, bold, quotes, brackets, full-width colon and digits, "4/5", "4 out of 5", "4.5",
    "4 points". Refused: no score line, a number outside 0–5, more than one number ("3-4", "3 or 4"), a total other
    than 5, a percentage, a text after the label that is not a number. The number stands on the label's own line: under
    a heading "Score:" the next line may be the first item of a list. Other numbers in the text never count.
    """
    plain = text.translate(_FULL_WIDTH)
    lines = list(_LABEL.finditer(plain))
    if not lines:
        return Score(None, "no score line")
    reason = "no number on the score line"
    for line in reversed(lines):
        match = _NUMBER.match(line.group("number"))
        if match is None:
            continue  # a heading such as "Score:" is no score line; an earlier one may be
        return _value(match)
    return Score(None, reason)


def _value(match: re.Match[str]) -> Score:
    if match.group("sign"):
        return Score(None, "negative score")
    value = float(match.group("value"))
    rest = match.group("rest")
    total = _OUT_OF.match(rest)
    if total is not None:
        if int(total.group("total")) != MAX_SCORE:
            return Score(None, f"score out of {total.group('total')}, not {MAX_SCORE}")
        rest = total.group("rest")
    if _SECOND.match(rest):
        return Score(None, "more than one number on the score line")
    if rest[:1].isdigit() or re.match(r"[.,/]\d|[ \t]*[%％]|e[-+]?\d", rest, re.IGNORECASE):
        return Score(None, "malformed number")
    if not 0 <= value <= MAX_SCORE:
        return Score(None, f"score {value:g} outside 0-{MAX_SCORE}")
    return Score(value, None)
