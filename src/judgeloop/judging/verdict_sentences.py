"""Sentences that say which of two responses is the better one: "Answer A is better.", "I prefer B", "A比B更好"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from judgeloop.judging.answers import BEGINNING, WEAK, Answer
from judgeloop.judging.verdict_words import DRAW, NAME, NOUN, SIDE, THING, WORD, read_side, taken_back
from judgeloop.records import Preference

_SAME = (
    r"[ \t]+are[ \t]+(?:equally\b|(?:(?:about|nearly|virtually|exactly)[ \t]+)?"
    r"(?:the[ \t]+same|equal|equivalent|identical|tied)(?=[^\w\n]*(?:\n|$)|[.;]))"
)
_I_THINK = r"(?:(?:i[ \t]+(?:think|believe|find)(?:[ \t]+that)?|我认为|我觉得)[ \t,]*)?"
# A sentence that says which is better, and then nothing of a single respect ("better at spelling").
_SENTENCE = re.compile(
    rf"{BEGINNING}{_I_THINK}(?:(?:la|il|die)[ \t]+)?(?P<said>{NAME}{WORD}(?:(?:(?<=first)|(?<=second)){THING})?)"
    rf"(?:的?(?:回答|答案|回复|评语)|['’]s{THING})?[ \t\"'“”)\]]*"
    r"(?:(?:(?<=[ \t])|[ \t]+)(?:wins\b(?![ \t]+(?:over|against)\b)|(?:is|was)\b[ \t]*"
    r"(?:(?:clearly|slightly|much|far|the|overall|marginally|significantly|strictly|considerably|noticeably|substantially"
    r"|only|just|definitely|decidedly|objectively|simply|still|somewhat|an?[ \t]+(?:bit|little|lot))[ \t]+){0,3}"
    rf"(?:better|best|winner|stronger|preferred|preferable|superior){THING}"
    rf"|(?:outperforms|beats|surpasses|wins[ \t]+(?:over|against)|(?:is|was)[ \t]+preferable[ \t]+to)"
    rf"[ \t]+{NAME}{WORD}{THING}"
    r"|(?:gives|provides|offers)[ \t]+(?:the|an?)[ \t]+(?:(?:clearly|slightly|much|far|overall)[ \t]+)?"
    rf"(?:better|best|stronger){THING})"
    r"|(?:(?<=[ \t])|[ \t]+)(?:лучше"
    r"|(?:es|ist|est|è|é)[ \t]+(?:la[ \t]+|die[ \t]+)?(?:mejor|besser|meilleure?|migliore|melhor))"
    r"|(?:이|가)[ \t]*더[ \t]*(?:낫|나은|좋)\w{0,6}|[ \t]+(?:هي[ \t]+)?(?:ال)?أفضل"
    rf"|[ \t]*(?:更好|较好|更优|更佳|[更略]胜一筹|胜出|获胜"
    rf"|(?:[略远更]|明显|显著|稍)?(?:比|优于|好于|胜过|强于){NAME}{WORD}(?:更?好)?"
    r"|の(?:方|ほう)が(?:優れて(?:いる|います)|良い|よい|いい)(?:です)?))"
    rf"(?=(?:[ \t]+(?:than|to|als|que|di|чем)[ \t]+(?:la[ \t]+)?{NAME}{WORD}{THING})?"
    r"(?:[ \t]+(?:because|since|overall|as|due"
    r"|in[ \t]+(?:every|all|most)[ \t]+(?:way|respect|aspect)s?(?![ \t]+(?:but|except)))\b"
    r"|[^\w\n]*(?:\n|$)|[,.;:!。]))"
    rf"|{BEGINNING}{_I_THINK}(?P<tie>(?:it[ \t]+is|it's|this[ \t]+is)[ \t]+a[ \t]+(?:tie|draw)"
    rf"|(?:both|they|the[ \t]+two)(?:[ \t]+(?:responses|answers))?{_SAME}"
    rf"|{NAME}[ab][ \t]+and[ \t]+{NAME}[ab]{_SAME}|[ab][和与][ab](?:不相上下|难分高下|一样好)"
    rf"|neither{THING}(?:[ \t]+{NAME}[ab][ \t]+nor[ \t]+{NAME}[ab])?[ \t]+is[ \t]+better"
    rf"|{NAME}{WORD}{THING}[ \t]+(?:is|was)[ \t]+(?:just[ \t]+)?as[ \t]+good[ \t]+as[ \t]+{NAME}{WORD}{THING}"
    r"(?=[^\w\n]*(?:\n|$)|[.;])"
    rf"|{DRAW}(?=[^\w\n]*(?:\n|$))"
    r"|(?:两(?:个|者|份)(?:回答|答案)?)?(?:平局|不相上下|难分高下|一样好))",
    re.IGNORECASE,
)
# The better one is the one that another is worse than.
_WORSE = re.compile(
    rf"{BEGINNING}{_I_THINK}{NAME}{WORD}{THING}(?:[ \t]+(?:(?:is|was)[ \t]+"
    r"(?:(?:(?:clearly|slightly|much|far|overall|marginally|significantly)[ \t]+)?(?:worse[ \t]+than|inferior[ \t]+to)"
    r"|not[ \t]+as[ \t]+good[ \t]+as)|loses[ \t]+to|хуже,?[ \t]+чем|ist[ \t]+schlechter[ \t]+als"
    r"|est[ \t]+moins[ \t]+bonne[ \t]+que|es[ \t]+peor[ \t]+que)[ \t]+|[ \t]*(?:不如|劣于|不及)[ \t]*)"
    rf"(?P<said>{NAME}{WORD}{THING})(?=[^\w\n]*(?:\n|$)|[.;!。])",
    re.IGNORECASE,
)
_PREFER = re.compile(
    rf"{BEGINNING}(?:i(?:[ \t]+would|['’]d)?[ \t]+(?:prefer|choose|pick|go[ \t]+with)[ \t]+"
    r"|我?选择?[ \t]*|我(?:更喜欢|倾向于?)[ \t]*)"
    rf"(?P<said>{NAME}{WORD})(?![A-Za-z0-9]|['’]s|[ \t]*(?:还是|或)|[ \t]+less\b)",
    re.IGNORECASE,
)
_LINE = 200  # characters after a sentence in which it may be taken back


def sentence_answers(text: str) -> Iterator[Answer[Preference]]:
    """The verdicts that sentences of a text (as `plain` gives it) say."""
    for sentence in (*_SENTENCE.finditer(text), *_PREFER.finditer(text), *_WORSE.finditer(text)):
        if sentence.groupdict().get("tie"):
            yield Answer(sentence.start("tie"), sentence.end(), "neither", None, WEAK)
            continue
        side = SIDE.match(sentence["said"])
        rest = re.split(r"[\n\r]", text[sentence.end() : sentence.end() + _LINE], maxsplit=1)[0]
        if side is None or not taken_back(side["side"], rest):
            yield from side_answer(sentence.start("said"), sentence.start("said"), _named(text, sentence), WEAK)


def _named(text: str, sentence: re.Match[str]) -> str:
    """A side, and the word after it if that makes it something else: "a concise answer"."""
    after = NOUN.match(text, sentence.end("said"))
    return text[sentence.start("said") : after.end() if after else sentence.end("said")]


def side_answer(start: int, offset: int, said: str, rank: int) -> Iterator[Answer[Preference]]:
    """The side that `said` begins with, if it names one. `said` is at `offset`, and what introduces it at `start`."""
    read = read_side(said)
    if read is not None:
        value, reason, length = read
        yield Answer(start, offset + length, value, reason, rank)
