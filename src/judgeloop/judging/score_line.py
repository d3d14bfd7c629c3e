"""The words before a score, and the number after them: what score lines, tables, tags and JSON have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from judgeloop.judging.answers import BEGINNING, FINAL, FINAL_WORDS, OWN, PLAIN, TOTAL, WEAK, Answer, plain
from judgeloop.judging.score_number import CLOSERS, DASHES, NUMBER, UNIT, Number, read_number

_PREFIX = (
    r"(?:(?:my|the|your|its|this|our|total|final|overall|revised|corrected|updated|adjusted|amended|reconsidered|new|"
    r"assigned|given|numeric(?:al)?|holistic|aggregate|combined|cumulative|evaluation|assessment|judge(?:'s)?|"
    r"response(?:'s)?)[ \t]+){0,4}"
)
_ZH_PREFIX = (
    r"(?:(?:该|本|此)?(?:回答|回复|答案)的?)?"
    r"(?:(?:我|最终|最終|最后|修正后?|更正后?|修改后?|调整后?)的?|总体|综合|整体|评定|評定|[总總]){0,3}"
)
# A word that needs no "score" beside it, and then nothing but a number after it.
_BARE = r"(?:the[ \t]+)?(?:total|overall|final|sum|revised|updated|corrected)(?:[ \t]+points?)?|总计|合计"
_RESULT = r"result"  # Prometheus ends so: "[RESULT] 4"
_ZH_LABEL = rf"{_ZH_PREFIX}(?:得分|评分|評分|分数|分數|打分|给分|給分|总分|總分|分值|评级|評級)(?:结果)?"
_OF_WHAT = (
    r"(?:[ \t]+(?:for|of)[ \t]+(?:this|the|that)[ \t]+(?:response|answer|reply))?"
    r"(?:[ \t]+(?:awarded|given|assigned|earned))?"
)
_LABEL = rf"(?:{_PREFIX}(?:score|rating|grade)|total[ \t]+points){_OF_WHAT}|{_ZH_LABEL}|(?:{_BARE})"
_STRICT = re.compile(rf"{_BARE}|{_RESULT}", re.IGNORECASE)
_TOTAL_ALONE = re.compile(r"(?:the[ \t]+)?(?:total|overall|sum)(?:[ \t]+points)?|总计|合计", re.IGNORECASE)
_SCALE_BEFORE = re.compile(
    r"\bscale[ \t]+(?:of|from)[ \t]+\d{1,3}[ \t]*(?:to|-|–)[ \t]*\d{1,4}(?=[^\d\n]{0,20}$)", re.IGNORECASE
)
_TOTAL_WORDS = re.compile(r"total|overall|sum|aggregate|combined|cumulative|holistic|总|综合|整体|合计", re.IGNORECASE)
_SCALE = (
    r"(?P<scale>[ \t'”」』)\]]{0,6}[(\[][^()\[\]\n]{1,60}[)\]]|[ \t]{1,4}(?:out[ \t]+of|from)[ \t]+[\d.]{1,9}"
    r"|[ \t]?/[ \t]?[\d.]{1,9}"
    r"|[ \t]{1,4}on[ \t]+an?[ \t]+scale[ \t]+(?:of|from)[ \t]+\d{1,3}[ \t]*(?:to|-|–)[ \t]*\d{1,4})?"
)
_SEPARATOR = re.compile(
    r"[ \t]{0,8}(?:(?:is|was|为|是)?[ \t]{0,4}(?::=|:|=(?!>))"
    r"|\b(?:is|was)\b(?:[ \t]+(?:now|therefore|thus|hence|then|clearly)\b)?"
    r"|为|是|[-=]>|→)[ \t]*"
    r"|(?<=[ \t])[-–—][ \t]+",
    re.IGNORECASE,
)
_AFTER_ALONE = re.compile(rf"{CLOSERS}(?:{UNIT})?[^\w\n]*$", re.IGNORECASE)
_AFTER_BARE = re.compile(rf"{CLOSERS}(?:{UNIT})?(?:[^\w\n]*$|[ \t]*[,;.。()!][^\d]|[ \t]+[{DASHES}(])", re.IGNORECASE)
_AFTER_ZH = re.compile(rf"{CLOSERS}分?{CLOSERS}(?:$|[,;.。!()])")
_NEXT_LINE = re.compile(r"[ \t]{0,40}(?:\r?\n[ \t]{0,40}){1,4}(?:[-•][ \t]+)?(?P<line>[^\n\r]{1,60})(?=[\n\r]|$)")
_LINE = 200  # characters after the label in which its number is read


@dataclass(frozen=True, slots=True)
class ScoreWords:
    """The words that announce a score, a rubric's own among them."""

    own: str
    line: re.Pattern[str]
    whole: re.Pattern[str]

    def rank(self, words: str) -> int:
        """How much an answer with this label counts."""
        if self.own and self.whole.fullmatch(words) and _usual().fullmatch(words) is None:
            return OWN
        if words.lower() == _RESULT:
            return WEAK  # "Result: 4", which needs no score to say so
        return FINAL if FINAL_WORDS.search(words) else TOTAL if _TOTAL_WORDS.search(words) else PLAIN


@lru_cache(maxsize=1)
def _usual() -> re.Pattern[str]:
    return re.compile(rf"(?:{_LABEL}){_SCALE}", re.IGNORECASE)


@lru_cache(maxsize=64)
def score_words(label: str | None) -> ScoreWords:
    """The words that announce a score: the usual ones, and the rubric's `label`."""
    own = plain(label).strip() if label else ""
    either = _LABEL if not own or _usual().fullmatch(own) else rf"{re.escape(own)}|{_LABEL}"
    line = rf"{BEGINNING}(?P<label>{either}|{_RESULT})(?![A-Za-z]){_SCALE}{CLOSERS}"
    whole = rf"\W{{0,20}}(?:{either}){_SCALE}\W{{0,20}}"
    return ScoreWords(own, re.compile(line, re.IGNORECASE), re.compile(whole, re.IGNORECASE))


def line_answers(text: str, words: ScoreWords, low: int, high: int) -> Iterator[Answer[float] | None]:
    """The score lines of a text (as `plain` gives it): answers, and None for each label that no number follows.

    The number is on the label's own line. Under a heading ("Score:") it may be alone on the next line; a first item of
    a list is not alone. A bare "Total: 3" before a score line that says another number is the total of something else.
    """
    said_as_score: Answer[float] | None = None
    for label in reversed(list(words.line.finditer(text))):
        number, begins = _number_after(text, label, low, high)
        if number is None:
            yield None
        elif not number.supposed:
            rank = words.rank(label["label"])
            found = Answer(label.start("label"), begins + number.end, number.value, number.reason, rank)
            if rank == PLAIN:
                said_as_score = found
            elif rank == TOTAL and said_as_score is not None and _TOTAL_ALONE.fullmatch(label["label"]):
                found = found if found.value == said_as_score.value else replace(found, rank=WEAK)
            yield found


def _number_after(text: str, label: re.Match[str], low: int, high: int) -> tuple[Number | None, int]:
    """The number after a label, and where the text it was read from begins."""
    # A label may take the brackets and spaces after it along; the separator is looked for after the word itself.
    separator = _SEPARATOR.match(text, label.end())
    begins = separator.end() if separator else label.end()
    region = _rest_of_line(text, begins)
    strict = _STRICT.fullmatch(label["label"]) is not None
    chinese = "\u4e00" <= label["label"][-1] <= "\u9fff"
    before = _SCALE_BEFORE.search(text, max(0, label.start("label") - _LINE), label.start("label"))
    scale = label["scale"] or (before.group() if before else None)
    if region.strip():
        number = read_number(region, low, high, scale)
        if number is None:
            return None, begins
        if separator is None:
            after = _AFTER_ZH if chinese else _AFTER_ALONE
            spaced = chinese or text[label.end() - 1 : label.end()] in " \t" or region[0] in " \t"
            return (number if spaced and after.match(number.rest) else None), begins
        if strict and not _AFTER_BARE.match(number.rest):
            return None, begins
        return number, begins
    if separator is None and (strict or text[label.start() : label.start("label")].strip("\n\r .#*-|")):
        return None, begins
    below = _NEXT_LINE.match(text, begins)
    number = read_number(below["line"], low, high, scale) if below else None
    if below is None or number is None or not _AFTER_ALONE.match(number.rest):
        return None, begins
    another = _NEXT_LINE.match(text, below.end())
    following = NUMBER.match(another["line"]) if another else None
    if another and following and _AFTER_ALONE.match(another["line"][following.end() :]):
        return None, begins  # a list
    return number, below.start("line")


def _rest_of_line(text: str, start: int) -> str:
    region = text[start : start + _LINE]
    return re.split(r"[\n\r]", region, maxsplit=1)[0]
