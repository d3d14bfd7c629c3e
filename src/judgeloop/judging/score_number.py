"""The number after a score's words: a value on the scale, with the sum and the total that are written out beside it, or
why it is none."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from judgeloop.judging.after_number import COUNTED, GLUED, SECOND, SUMMANDS, SUPPOSED, other_number
from judgeloop.judging.number_marks import CLOSERS, DASHES, IN_WORDS, NUMBER_WORDS, OF, OPENERS, UNIT

_SPELLED = rf"(?:(?P<word>{IN_WORDS})[ \t]*[(\[][ \t]*(?=\d))?"  # "four (4)"
# A decimal comma is one if the total is beside it: "3,5/5", "4,5 von 5".
_DECIMALS = rf"(?:\.\d{{1,20}}|,\d{{1,2}}(?=[ \t]*(?:/|{OF}[ \t])[ \t]*\d))?"
NUMBER = re.compile(rf"{OPENERS}{_SPELLED}(?P<sign>[{DASHES}]\s*)?(?P<value>\d{{1,9}}{_DECIMALS})", re.IGNORECASE)
_STARS = re.compile(r"[ \t]*(?P<full>(?:[★⭐🌟][ \t]?){1,10})(?P<empty>(?:[☆✩✰][ \t]?){0,10})")
_OUT_OF = re.compile(
    rf"{CLOSERS}(?:{UNIT}{CLOSERS})?[(\[<]?{OPENERS}"
    rf"(?:/|(?:out[ \t]+of|of|{OF})[ \t]+|满分(?:为|是)?|共)"
    rf"{OPENERS}(?P<total>\d{{1,9}})(?:\.0{{1,4}})?(?![\d.]*\d)",
    re.IGNORECASE,
)
_TO = rf"[ \t]*(?:[{DASHES}~]|to\b|到|至)[ \t]*"
_MEANS = r"[ \t]*(?:=|\b(?:is|being|as|means)\b)[ \t]*(?:the[ \t]+)?"
# A total in other words: "(0-10)", "on a scale of 1 to 10", "max. 10", "out of a possible 10", "满分10分", "10分制".
_NAMED_SCALE = re.compile(
    rf"{CLOSERS}(?:{UNIT}{CLOSERS})?(?:"
    rf"[(\[][ \t]*(?:scale|range)?[ \t]*:?[ \t]*\d{{1,3}}{_TO}(?P<range>\d{{1,4}})(?:[ \t]*scale)?[ \t]*[)\]]"
    rf"|[,(\[]?[ \t]*(?:(?:on|in|using|with)[ \t]+)?(?:(?:a|the)[ \t]+)?(?:scale|range)[ \t]*(?:of|from|:)?[ \t]*"
    rf"(?:\d{{1,3}}{_TO})?(?P<scale>\d{{1,4}})"
    rf"|[,(\[]?[ \t]*(?:on[ \t]+)?(?:(?:a|the)[ \t]+)?(?P<point>\d{{1,4}}|{IN_WORDS})[ -]points?[ \t]+"
    r"(?:[a-z]+[ \t]+)?scale"
    rf"|[,;(\[]?[ \t]*(?:(?:where|with|when)[ \t]+)?(?:\d{{1,3}}{_MEANS}(?:worst|lowest|poor|bad|min\w*|terrible)\b"
    rf"[ \t,;]*(?:and[ \t]+)?)?(?P<best>\d{{1,4}}|{IN_WORDS}){_MEANS}"
    r"(?:best|highest|max(?:imum)?|perfect|top|excellent|good)\b"
    r"|[,;(\[]?[ \t]*max(?:\.|imum)?[ \t]*(?::|=|(?:of|is|score|points)\b)*[ \t]*(?P<most>\d{1,4})"
    rf"|(?:[,;(\[]|[{DASHES}])?[ \t]*(?:out[ \t]+of|of(?=[ \t]+the[ \t]))[ \t]+"
    rf"(?:(?:an?|the|possible|maximum|total|max|of)[ \t]+){{0,4}}"
    rf"(?P<out>\d{{1,4}}|{IN_WORDS})\b"
    r"|[,;(]?[ \t]*(?:满分|總分|总分|滿分)[ \t]*(?:为|是|:)?[ \t]*(?P<full>\d{1,4})"
    r"|[,;(]?[ \t]*(?P<full_score>\d{1,4})分?[为是]满分"
    r"|[,;(]?[ \t]*(?P<system>\d{1,4}|[十百])分制"
    r"|[,;(]?[ \t]*(?P<full_marks>\d{1,4})[ \t]*(?:[点分]満点|점[ \t]*만점))",
    re.IGNORECASE,
)
_OTHER_WORD = re.compile(r"[ \t]+[^\W\d_]{1,4}[ \t]+(?P<total>\d{1,4})[^\w\n]*$")  # "4 sur 10"
_TERM = (
    rf"\d{{1,3}}(?:\.\d{{1,2}})?(?:/\d{{1,2}})?(?:[ \t]*{UNIT})?"
    r"(?:[ \t]*\([^()\n]{1,80}\)|[ \t]+for[ \t]+[^\d+=\n]{1,60}?)?"
)
_TERMS = rf"{_TERM}(?:[ \t]*(?:[+{DASHES}]|plus\b|minus\b)[ \t]*{_TERM}){{1,20}}"
_SUM = re.compile(rf"{_TERMS}[ \t)\]]*=[ \t]*(?P<total>\d{{1,4}}(?:\.\d{{1,2}})?)(?!\.?\d)", re.IGNORECASE)
_SUM_AFTER = re.compile(rf"[ \t]*=[ \t]*(?P<sum>{_TERMS})(?![\d.]*\d)", re.IGNORECASE)
_PERCENT = re.compile(
    r"[ \t]*[=(≈][ \t]*(?:(?P<percent>\d{1,3}(?:\.\d{1,2})?)[ \t]*%|(?P<share>[01]?\.\d{1,4})(?!\d))[ \t]*\)?"
)
# The score once more, with a total: "4 (4/5)", and not "0.8 (4/5)".
_AGAIN = re.compile(
    r"[ \t]*[(=][ \t]*(?P<part>\d{1,9}(?:\.\d{1,9})?)[ \t]*/[ \t]*(?P<whole>\d{1,9})(?:\.0)?[ \t]*(?:\)|$)"
)
_SUMMAND = re.compile(rf"(?P<minus>[{DASHES}]|minus\b)?[ \t]*(?P<value>\d{{1,3}}(?:\.\d{{1,2}})?)", re.IGNORECASE)
_MARK = re.compile(r"[.):](?=[ \t]*[^\W\d])|[ \t]+(?:is|means)\b")  # of an item in a list
_WHOLE_SCALE = re.compile(rf"{_TO}(?P<high>\d{{1,4}})[^\w\n]*$", re.IGNORECASE)


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


def read_number(text: str, low: int, high: int, scale: str | None = None, below: str = "") -> Number | None:
    """Read the number that a line begins with; None if it begins with none. `scale` is what the label says of it, such
    as "(out of 5)"; `below` is what stands on the next lines."""
    match = NUMBER.match(text)
    if match is None:
        return _drawn(text, low, high, scale)
    found = Number(None, None, match.end(), text[match.end() :])
    if match["word"] and NUMBER_WORDS[match["word"].lower()] != float(match["value"].replace(",", ".")):
        return replace(found, reason="more than one number on the score line")
    if match["sign"]:
        return replace(found, reason="negative score")
    if "<" in match.group() and ">" not in found.rest:
        return replace(found, reason="less than a number on the score line")
    value, end = float(match["value"].replace(",", ".")), match.end()
    whole = _WHOLE_SCALE.match(text, end)
    if whole is not None and value == low and int(whole["high"]) == high:  # "[0-5]": the form that was asked for
        return replace(found, reason="the whole scale on the score line", supposed=True)
    added = _SUM.match(text, match.start("value"))
    if added is not None and _summed(added.group()[: added.start("total") - added.start()]) == float(added["total"]):
        value, end = float(added["total"]), added.end("total")
    elif (after := _SUM_AFTER.match(text, end)) is not None and _summed(after["sum"]) == value:
        end = after.end()
    total = _OUT_OF.match(text, end) or _named_scale(text, end, high)
    if total is not None:
        end = total.end()
        percent = _PERCENT.match(text, end)
        if percent is not None:
            if float(percent["percent"] or 100 * float(percent["share"])) == round(100 * value / high, 2):
                end = percent.end()
            elif percent["percent"] and not re.match(
                r"[ \t]*[^\W\d]", text[percent.end() :]
            ):  # "70% sure" is of itself
                return replace(found, reason="more than one number on the score line")
    rest = text[end:]
    counted = total is None and COUNTED.match(rest) is not None
    found = replace(found, end=end, rest=rest, supposed=counted or SUPPOSED.match(rest) is not None)
    outside = _other_scale(scale, high) or _other_total(total, high)
    if outside is not None:
        return replace(found, reason=f"score out of {outside}, not {high}")
    if rest[:1].isnumeric() or GLUED.match(rest):
        return replace(found, reason="malformed number")
    if _begins_list(match["value"], rest, below):
        return replace(found, reason="a list on the score line")
    again = _AGAIN.match(rest)
    if (
        SECOND.match(rest)
        or SUMMANDS.match(rest)
        or other_number(rest, value, high)
        or (again is not None and float(again["part"]) * high != value * float(again["whole"]))
    ):
        return replace(found, reason="more than one number on the score line")
    if not low <= value <= high:
        return replace(found, reason=f"score {value:g} outside {low}-{high}")
    return replace(found, value=value)


def _drawn(text: str, low: int, high: int, scale: str | None) -> Number | None:
    """The number of full stars, if there are as many as the scale has points: "★★★★☆"."""
    stars = _STARS.match(text)
    if stars is None:
        return None
    full, empty = (len(re.sub(r"\s", "", stars[name])) for name in ("full", "empty"))
    if full + empty != high or _STARS.search(text, stars.end()):
        return None
    number = read_number(f"{full}{text[stars.end() :]}", low, high, scale)
    return number and replace(number, end=number.end + stars.end() - len(str(full)))


def _begins_list(value: str, rest: str, below: str) -> bool:
    """Whether the number is the mark of an item: "1. It is on topic. 2. It is complete.", "1 is poor, 2 is fair"."""
    mark = _MARK.match(rest)
    if mark is None or not value.isdigit():
        return False
    following = rf"[,.!?;\n][ \t]*{int(value) + 1}{re.escape(mark.group())}[ \t]"
    return re.search(following, rest[mark.end() :] + below) is not None


def _summed(terms: str) -> float:
    """The value of "1 (relevance) + 1 point + 0/1 - 0.5"."""
    bare = re.sub(r"\([^()]*\)|/\d+", " ", terms)
    return sum(float(one["value"]) * (-1 if one["minus"] else 1) for one in _SUMMAND.finditer(bare))


def _named_scale(text: str, end: int, high: int) -> re.Match[str] | None:
    """A total in other words. One in a word of another language counts only if it is above the scale."""
    other = _OTHER_WORD.match(text, end)
    return _NAMED_SCALE.match(text, end) or (other if other is not None and int(other["total"]) > high else None)


def _other_total(total: re.Match[str] | None, high: int) -> int | None:
    """The total beside a number, if it is not `high`."""
    if total is None:
        return None
    said = next(group for group in total.groups() if group is not None).lower()
    number = NUMBER_WORDS[said] if said in NUMBER_WORDS else int(said)
    return number if number != high else None


def _other_scale(scale: str | None, high: int) -> int | None:
    """The highest score of the scale that a label names, if it is not `high`."""
    if scale is not None and "%" in scale:
        return 100
    numbers = [float(number) for number in re.findall(r"\d{1,9}(?:\.\d{1,9})?", scale or "")]
    return int(numbers[-1]) if numbers and numbers[-1] != high else None
