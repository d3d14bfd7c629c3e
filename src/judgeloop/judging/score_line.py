"""The words before a score, and the number after them: what score lines, tables, tags and JSON have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from judgeloop.judging.answers import BEGINNING, FINAL, FINAL_WORDS, OWN, PLAIN, TOTAL, Answer, plain

_PREFIX = (
    r"(?:(?:my|the|your|its|this|our|total|final|overall|revised|corrected|updated|adjusted|amended|reconsidered|new|"
    r"assigned|given|numeric(?:al)?|holistic|aggregate|combined|cumulative|judge(?:'s)?|response(?:'s)?)[ \t]+){0,4}"
)
_ZH_PREFIX = (
    r"(?:(?:该|本|此)?(?:回答|回复|答案)的?)?"
    r"(?:(?:我|最终|最后|修正后?|更正后?|修改后?|调整后?)的?|总体|综合|整体|总){0,3}"
)
# A word that needs no "score" beside it, and then nothing but a number after it.
_BARE = r"(?:the[ \t]+)?(?:total|overall|final|sum)(?:[ \t]+points?)?|总计|合计"
_ZH_LABEL = rf"{_ZH_PREFIX}(?:得分|评分|分数|打分|总分|分值|评级)(?:结果)?"
_LABEL = rf"{_PREFIX}(?:score|rating|grade)|total[ \t]+points|{_ZH_LABEL}|(?:{_BARE})"
_STRICT = re.compile(_BARE, re.IGNORECASE)
_TOTAL_WORDS = re.compile(r"total|overall|sum|aggregate|combined|cumulative|holistic|总|综合|整体|合计", re.IGNORECASE)
_SCALE = (
    r"(?P<scale>[ \t'”」』)\]]{0,6}[(\[][^()\[\]\n]{1,60}[)\]]|[ \t]{1,4}(?:out[ \t]+of|from)[ \t]+[\d.]{1,9}"
    r"|[ \t]?/[ \t]?[\d.]{1,9})?"
)
_SEPARATOR = re.compile(
    r"[ \t]{0,8}(?:(?:is|was|为|是)?[ \t]{0,4}(?::=|:|=(?!>))|\b(?:is|was)\b(?:[ \t]+now\b)?|为|是|[-=]>|→)[ \t]*"
    r"|(?<=[ \t])[-–—][ \t]+",
    re.IGNORECASE,
)
_OPENERS = r"""[ \t"'“”‘’「『<(\[{★☆⭐✩✨]*"""
_CLOSERS = r"""[ \t"'“”‘’」』》>)\]}]*"""
_DASHES = "-\u2013\u2014\u2212"
_NUMBER = re.compile(rf"{_OPENERS}(?P<sign>[{_DASHES}]\s*)?(?P<value>\d{{1,9}}(?:\.\d{{1,9}})?)")
_UNIT = r"(?:points?|pts\.?|stars?|分|★|⭐)"
_OUT_OF = re.compile(
    rf"{_CLOSERS}(?:{_UNIT}{_CLOSERS})?[(\[<]?{_OPENERS}"
    rf"(?:/|out[ \t]+of[ \t]+|of[ \t]+|满分(?:为|是)?|共){_OPENERS}(?P<total>\d{{1,9}})(?:\.0{{1,4}})?(?![\d.]*\d)",
    re.IGNORECASE,
)
_SUM = re.compile(r"\d{1,3}(?:[ \t]*\+[ \t]*\d{1,3}){1,20}(?=[ \t]*=[ \t]*(?P<total>\d{1,4})(?![\d.]))")
# A second number that the first is set against: a range, an alternative, a sum, a list up to the end of the line.
_SECOND = re.compile(
    rf"{_CLOSERS}(?:(?:[{_DASHES}~&+=×→]|[-=]>|(?:to|or|and)\b|到|至|或|和|、)[ \t\"'“”‘’(\[<]*|(?<=[ \t\"'“”‘’])"
    rf"|[,;|(]?[ \t]*[(]?(?:or|maybe|perhaps|possibly|也许|可能)[ \t]*(?:even[ \t]+)?"
    rf"|[,;|][ \t\"'“”‘’(\[<]*(?=\d[\d.,;| \t]*$))\d",
    re.IGNORECASE,
)
_GLUED = re.compile(
    r"[.,/]\d|[.,/]?[ \t]*[¼-¾⅐-⅞↉]|[ \t]*%|"
    r"e[-+]?\d|分?[中里]|(?!(?:points?|pts|stars?|out|of|to|or|and|p)(?![a-z]))[a-z]",
    re.IGNORECASE,
)
# What speaks of a score rather than giving it: "Score: 5 would need examples".
_SUPPOSED = re.compile(
    rf"{_CLOSERS}[,;]?[ \t]*(?:(?:would|could|might|should|requires?|needs?|means?|demands?|implies|if|when|unless)\b"
    r"|is[ \t]+(?:for|reserved|given|only|when|if)\b|(?:则|才|需要|要求|意味着|表示|应该|将会|会是))",
    re.IGNORECASE,
)
_AFTER_ALONE = re.compile(rf"{_CLOSERS}(?:{_UNIT})?[^\w\n]*$", re.IGNORECASE)
_AFTER_BARE = re.compile(
    rf"{_CLOSERS}(?:{_UNIT})?(?:[^\w\n]*$|[ \t]*[,;.。()!][^\d]|[ \t]+[{_DASHES}(])", re.IGNORECASE
)
_AFTER_ZH = re.compile(rf"{_CLOSERS}分?{_CLOSERS}(?:$|[,;.。!()])")
_NEXT_LINE = re.compile(r"[ \t]{0,40}(?:\r?\n[ \t]{0,40}){1,4}(?P<line>[^\n\r]{1,60})(?=[\n\r]|$)")
_LINE = 200  # characters after the label in which its number is read


@dataclass(frozen=True, slots=True)
class Number:
    """A number read from the beginning of a text, up to `end`: a value on the scale, or None with the reason.

    `rest` is what follows it, without its total; `supposed`: the text speaks of this number and does not give it.
    """

    value: float | None
    reason: str | None
    end: int
    rest: str
    supposed: bool = False


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
        return FINAL if FINAL_WORDS.search(words) else TOTAL if _TOTAL_WORDS.search(words) else PLAIN


@lru_cache(maxsize=1)
def _usual() -> re.Pattern[str]:
    return re.compile(rf"(?:{_LABEL}){_SCALE}", re.IGNORECASE)


@lru_cache(maxsize=64)
def score_words(label: str | None) -> ScoreWords:
    """The words that announce a score: the usual ones, and the rubric's `label`."""
    own = plain(label).strip() if label else ""
    either = rf"{re.escape(own)}|{_LABEL}" if own else _LABEL
    line = rf"{BEGINNING}(?P<label>{either})(?![A-Za-z]){_SCALE}{_CLOSERS}"
    whole = rf"\W{{0,20}}(?:{either}){_SCALE}\W{{0,20}}"
    return ScoreWords(own, re.compile(line, re.IGNORECASE), re.compile(whole, re.IGNORECASE))


def line_answers(text: str, words: ScoreWords, low: int, high: int) -> Iterator[Answer[float] | None]:
    """The score lines of a text (as `plain` gives it): answers, and None for each label that no number follows.

    The number is on the label's own line. Under a heading ("Score:") it may be alone on the next line; a first item of
    a list is not alone.
    """
    for label in words.line.finditer(text):
        number, begins = _number_after(text, label, low, high)
        if number is None:
            yield None
        elif not number.supposed:
            rank = words.rank(label["label"])
            yield Answer(label.start("label"), begins + number.end, number.value, number.reason, rank)


def _number_after(text: str, label: re.Match[str], low: int, high: int) -> tuple[Number | None, int]:
    """The number after a label, and where the text it was read from begins."""
    # A label may take the brackets and spaces after it along; the separator is looked for after the word itself.
    separator = _SEPARATOR.match(text, label.end())
    begins = separator.end() if separator else label.end()
    region = _rest_of_line(text, begins)
    strict = _STRICT.fullmatch(label["label"]) is not None
    chinese = "\u4e00" <= label["label"][-1] <= "\u9fff"
    if region.strip():
        number = read_number(region, low, high, label["scale"])
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
    number = read_number(below["line"], low, high, label["scale"]) if below else None
    if below is None or number is None or not _AFTER_ALONE.match(number.rest):
        return None, begins
    another = _NEXT_LINE.match(text, below.end())
    following = _NUMBER.match(another["line"]) if another else None
    if another and following and _AFTER_ALONE.match(another["line"][following.end() :]):
        return None, begins  # a list
    return number, below.start("line")


def _rest_of_line(text: str, start: int) -> str:
    region = text[start : start + _LINE]
    return re.split(r"[\n\r]", region, maxsplit=1)[0]


def read_number(text: str, low: int, high: int, scale: str | None = None) -> Number | None:
    """Read the number that a text begins with; None if it begins with none. `scale` is what the label says of it, such
    as "(out of 5)"."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    found = Number(None, None, match.end(), text[match.end() :])
    if match["sign"]:
        return replace(found, reason="negative score")
    value, rest, end = float(match["value"]), found.rest, match.end()
    added = _SUM.match(text, match.start("value"))
    if added is not None and sum(int(part) for part in added.group().split("+")) == int(added["total"]):
        value, end = float(added["total"]), added.end("total")
        rest = text[end:]
    total = _OUT_OF.match(rest)
    if total is not None:
        end += total.end("total")
        rest = rest[total.end() :]
    found = replace(found, end=end, rest=rest, supposed=_SUPPOSED.match(rest) is not None)
    outside = _other_scale(scale, high) or (int(total["total"]) if total and int(total["total"]) != high else None)
    if outside is not None:
        return replace(found, reason=f"score out of {outside}, not {high}")
    if rest[:1].isnumeric() or _GLUED.match(rest):
        return replace(found, reason="malformed number")
    if _SECOND.match(rest):
        return replace(found, reason="more than one number on the score line")
    if not low <= value <= high:
        return replace(found, reason=f"score {value:g} outside {low}-{high}")
    return replace(found, value=value)


def _other_scale(scale: str | None, high: int) -> int | None:
    """The highest score of the scale that a label names, if it is not `high`."""
    numbers = [float(number) for number in re.findall(r"\d{1,9}(?:\.\d{1,9})?", scale or "")]
    return int(numbers[-1]) if numbers and numbers[-1] != high else None
