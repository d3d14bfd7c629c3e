"""The words before a score, and the number after them: what score lines, tables, tags and JSON have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from judgeloop.judging.answers import BEGINNING, FINAL, FINAL_WORDS, OWN, PLAIN, TOTAL, WEAK, Answer, plain
from judgeloop.judging.number_marks import CLOSERS, DASHES, OF, UNIT
from judgeloop.judging.score_number import NUMBER, Number, read_number

_PREFIX = (
    r"(?:(?:my|the|your|its|this|our|total|final|overall|revised|corrected|updated|adjusted|amended|reconsidered|new|"
    r"assigned|given|numeric(?:al)?|holistic|aggregate|combined|cumulative|evaluation|assessment|judge(?:'s)?|"
    r"response(?:'s)?)[ \t]+){0,4}"
)
_ZH_PREFIX = (
    r"(?:(?:该|本|此)?(?:回答|回复|答案|助手|模型)的?)?"
    r"(?:(?:我给出|给出|总共|合计|我|最终|最終|最后|修正后?|更正后?|修改后?|调整后?)的?|总体|综合|整体|评定|評定|[总總]){0,3}"
)
# A word that needs no "score" beside it, and then nothing but a number after it.
_BARE = r"(?:the[ \t]+)?(?:total|overall|final|sum|revised|updated|corrected)(?:[ \t]+points?)?|总计|合计"
_RESULT = r"result"  # Prometheus ends so: "[RESULT] 4"
# The word in other languages, and then nothing but a number after it: some are everyday words, too.
_FOREIGN = (
    r"(?:puntuaci[oó]n|calificaci[oó]n|pontuaç[ãa]o|punteggio|nota)(?:[ \t]+(?:final|total)e?)?|puntaje|voto"
    r"|note[ \t]+(?:finale|globale|totale)"
    # Everyday words that are labels only of a number with its total, alone on the line.
    r"|(?:note|verdict|[eé]valuation|assessment|judge?ment|mark|valutazione|valoraci[oó]n|avaliaç[ãa]o|ergebnis|resultado"
    r"|punkte|endnote|beoordeling|karakter|arvosana)"
    rf"(?=[ \t]*:[ \t]*\d(?:[.,]\d{{1,2}})?[ \t]*(?:/|(?:{OF}|out[ \t]+of)\b)[ \t]*\d{{1,3}}[^\w\n]*(?:\n|$))"
    r"|(?:gesamt)?(?:bewertung|wertung|punktzahl)"
    r"|(?:(?:итоговая|общая|підсумкова|загальна)[ \t]+)?(?:оценка|оцінка)|(?:итоговый[ \t]+)?балл"
    r"|(?:総合|最終)?(?:スコア|点数|得点|評価|評点)"
    r"|(?:(?:최종|종합)[ \t]*)?(?:점수|평점|스코어)|총점"
    r"|(?:الدرجة|النتيجة|التقييم)(?:[ \t]+النهائية?)?|امتیاز|स्कोर|अंक|điểm(?:[ \t]+số)?"
    r"|puan|skor|nilai|ocena|คะแนน|poäng|betyg"
)
_ZH_LABEL = rf"{_ZH_PREFIX}(?:得分|评分|評分|分数|分數|打分|给分|給分|总分|總分|分值|评级|評級)(?:结果)?"
_OF_WHAT = (
    r"(?:[ \t]+(?:for|of)[ \t]+(?:this|the|that)[ \t]+(?:response|answer|reply))?"
    r"(?:[ \t]+(?:awarded|given|assigned|earned))?"
)
_LABEL = (
    rf"(?:{_PREFIX}(?:score|rating|grade)(?:[ \t]+(?:final|global)e?)?|total[ \t]+points){_OF_WHAT}"
    rf"|{_ZH_LABEL}|(?:{_BARE})|(?:{_FOREIGN})"
)
_STRICT = re.compile(rf"{_BARE}|{_RESULT}|{_FOREIGN}", re.IGNORECASE)
_TOTAL_ALONE = re.compile(r"(?:the[ \t]+)?(?:total|overall|sum)(?:[ \t]+points)?|总计|合计", re.IGNORECASE)
# The judge's own scale, in a sentence of its own: "On a scale of 1 to 10, I would rate this a 4."
_RANGE = r"\bscale[ \t]+(?:of|from)[ \t]+\d{1,3}[ \t]*(?:to|-|–)[ \t]*\d{1,4}"
_OWN_SCALE = re.compile(
    rf"\bI(?:'d|[ \t]+(?:would|will))?[ \t]+(?:rate|score|grade|give|evaluate)\b[^.!?\n]{{0,100}}{_RANGE}"
    rf"|{_RANGE},[ \t]*I\b",
    re.IGNORECASE,
)
_ITS_TOTAL = re.compile(r"/|\bof\b|满分", re.IGNORECASE)
_SCALE_BEFORE = re.compile(rf"{_RANGE}(?=[^\d\n]{{0,20}}$)", re.IGNORECASE)
_TOTAL_WORDS = re.compile(r"total|overall|sum|aggregate|combined|cumulative|holistic|总|综合|整体|合计", re.IGNORECASE)
_SCALE = (
    r"(?P<scale>[ \t'”」』)\]]{0,6}[(\[](?!\d{1,3}[)\]][^\w\n:=]*(?:\n|$))[^()\[\]\n]{1,60}[)\]]"
    r"|[ \t]{1,4}(?:out[ \t]+of|from)[ \t]+[\d.]{1,9}"
    r"|[ \t]?/[ \t]?[\d.]{1,9}"
    r"|[ \t]{1,4}on[ \t]+an?[ \t]+scale[ \t]+(?:of|from)[ \t]+\d{1,3}[ \t]*(?:to|-|–)[ \t]*\d{1,4})?"
)
_SEPARATOR = re.compile(
    r"[ \t]{0,8}(?:(?:is|was|would[ \t]+be|为|是)?[ \t]{0,4}(?::=|:|=(?!>))"
    r"|\b(?:is|was)\b(?:[ \t]+(?:now|therefore|thus|hence|then|clearly)\b)?"
    r"|[为是は]|[-=]>|→)[ \t]*"
    r"|(?<=[ \t])[-–—|][ \t]+",
    re.IGNORECASE,
)
# What may stand before the number: the form that was asked for, "Score: <total points> = 4", and "I would give it a".
_BEFORE = re.compile(
    r"[<\[][^<>\[\]\d\n]{1,30}[>\]][ \t]*[:=]?[ \t]*(?=\d)"
    r"|I(?:'d|['’]ll|[ \t]+(?:would|will))?[ \t]+(?:say|give|rate|award|assign|score)[ \t]+"
    r"(?:(?:it|this|the)(?:[ \t]+(?:response|answer))?[ \t]+)?(?:an?[ \t]+)?(?=\d)",
    re.IGNORECASE,
)
# The scale before the number: "得分：5分制下为4分", "5点満点中4点", "5점 만점에 4점".
_SCALE_FIRST = re.compile(
    r"(?P<most>\d{1,3})[ \t]*(?:分制[下中]?[^\w\n]{0,2}[为是]?:?|[点點]満点(?:中|で)?"
    r"|점[ \t]*(?:만점(?:에서?|[ \t]*중)?|중(?:에서?)?)"
    r"|分满分[下中]?[,]?[的得]?)[ \t]*(?=\d)"
)
# After a number and nothing else; Prometheus ends so: "[RESULT] 4 [END]".
_NO_MORE = r"[^\w\n]*$|\[/?(?:end|result)\b"
_AFTER_ALONE = re.compile(rf"{CLOSERS}(?:{UNIT})?[ \t]*(?:{_NO_MORE})", re.IGNORECASE)
_AFTER_BARE = re.compile(
    rf"{CLOSERS}(?:{UNIT})?(?:です|である|입니다)?[ \t]*(?:{_NO_MORE}|[,;.。()!][^\d]|(?<=[ \t])[{DASHES}(])",
    re.IGNORECASE,
)
_AFTER_ZH = re.compile(rf"{CLOSERS}分?{CLOSERS}(?:$|[,;.。!()])")
_NEXT_LINE = re.compile(r"[ \t]{0,40}(?:\r?\n[ \t]{0,40}){1,4}(?:[-•>][ \t]+)?(?P<line>[^\n\r]{1,60})(?=[\n\r]|$)")
_OTHER_THAN_SCORE = "a total that is not the score"
_CONDITION = re.compile(r"(?:如果|假如|要是|倘若|除非)[^。!?;\n]*,[ \t]*$")  # "如果有例子，得分：5"
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
    a list is not alone. A bare "Total: 3" before a score line that says another number is the total of something else;
    after a single one it contradicts it.
    """
    found: list[tuple[str, Answer[float]]] = []
    own_scale = _OWN_SCALE.search(text)
    for label in words.line.finditer(text):
        number, begins = _number_after(text, label, low, high)
        if number is None:
            yield None
        elif not number.supposed and not _CONDITION.search(text, max(0, label.start() - 80), label.start("label")):
            start, end, value, reason = label.start("label"), begins + number.end, number.value, number.reason
            if own_scale and own_scale.end() <= start and not (label["scale"] or _ITS_TOTAL.search(text, start, end)):
                most = int(re.findall(r"\d+", own_scale.group())[-1])
                value, reason = (value, reason) if most == high else (None, f"score out of {most}, not {high}")
            found.append((label["label"], Answer(start, end, value, reason, words.rank(label["label"]))))
    scores = [answer for _, answer in found if answer.rank == PLAIN]
    for name, answer in found:
        if answer.rank == TOTAL and _TOTAL_ALONE.fullmatch(name):
            later = next((one for one in scores if one.start > answer.start), None)
            if later is not None and later.value != answer.value:
                answer = replace(answer, rank=WEAK)
            elif later is None and len(scores) == 1 and scores[0].value not in (None, answer.value):
                answer = replace(answer, value=None, reason=_OTHER_THAN_SCORE)
        yield answer


def _number_after(text: str, label: re.Match[str], low: int, high: int) -> tuple[Number | None, int]:
    """The number after a label, and where the text it was read from begins."""
    # A label may take the brackets and spaces after it along; the separator is looked for after the word itself.
    separator = _SEPARATOR.match(text, label.end())
    begins = separator.end() if separator else label.end()
    before_it = _BEFORE.match(text, begins) if separator is not None else None
    thought = before_it is not None and before_it.group()[0] in "Ii"  # "I would give it a 5, but …"
    begins = before_it.end() if before_it is not None else begins
    first = _SCALE_FIRST.match(text, begins)
    begins = first.end() if first is not None else begins
    region = _rest_of_line(text, begins)
    strict = _STRICT.fullmatch(label["label"]) is not None
    chinese = "\u4e00" <= label["label"][-1] <= "\u9fff"
    before = _SCALE_BEFORE.search(text, max(0, label.start("label") - _LINE), label.start("label"))
    scale = (first and first["most"]) or label["scale"] or (before.group() if before else None)
    if region.strip():
        next_lines = text[begins + len(region) : begins + len(region) + _LINE]
        number = read_number(region, low, high, scale, next_lines)
        if number is None:
            return None, begins
        if separator is None:
            after = _AFTER_ZH if chinese else _AFTER_ALONE
            spaced = chinese or text[label.end() - 1 : label.end()] in " \t" or region[0] in " \t"
            return (number if spaced and after.match(number.rest) else None), begins
        if (strict and not _AFTER_BARE.match(number.rest)) or (thought and not _AFTER_ALONE.match(number.rest)):
            return None, begins
        return number, begins
    heading = not strict or _TOTAL_ALONE.fullmatch(label["label"]) is not None
    if separator is None and (not heading or text[label.start() : label.start("label")].strip("\n\r .#*-|")):
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
