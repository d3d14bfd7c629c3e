"""Read which of two responses a judge prefers from what it wrote, and from nothing else.

As with scores: what cannot be read is None with a reason, never a preference. docs/judging.md lists the forms read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from judgeloop.judging.answers import (
    BEGINNING,
    FINAL,
    FINAL_WORDS,
    PLAIN,
    WEAK,
    Answer,
    masked,
    plain,
    settle,
    usual_forms,
)
from judgeloop.judging.copied_scores import is_copy
from judgeloop.judging.parse_score import UNCLOSED
from judgeloop.judging.structured_scores import json_spans
from judgeloop.records import Preference
from judgeloop.text.thoughts import split_thought

_Found = Answer[Preference]

_THINGS = r"one|answer|response|assistant|option|output|candidate|model|choice|reply|completion|preference"
_THING = rf"(?:[ \t]+(?:{_THINGS}))?"
_LABEL_WORDS = (
    rf"(?:i[ \t]+(?:think|believe|find)[ \t]+(?:that[ \t]+)?)?"
    rf"(?:(?:the|my|final|overall|revised|corrected|which[ \t]+is)[ \t]+){{0,3}}"
    rf"(?:answer|better|best|preferred|preference|winner|verdict|choice|judge?ment|decision|chosen|stronger|superior){_THING}"
    r"|(?:最终|最后|修正后?的?|更正后?的?|总体)?(?:更好|较好|更优|更佳|胜出|胜者|获胜|获胜者|优胜者|判断|判定|裁决|结论|选择|偏好|优选|答案)"
    r"(?:的)?(?:一个|回答|答案|回复|是|为)?(?:的)?"
)
_LABEL = re.compile(
    rf"{BEGINNING}(?P<label>{_LABEL_WORDS})(?![A-Za-z])[ \t\"'“”‘’」』)\]]*"
    r"(?:[ \t]?\([^()\n]{1,40}\)[ \t]?)?(?P<separator>[:=][ \t]*(?:is[ \t])?"
    r"|[ \t]*\b(?:is|goes[ \t]+to|would[ \t]+be)\b(?:[ \t]+(?:that|therefore|thus|hence|clearly|obviously)\b)?[ \t]*:?"
    r"|[ \t]+[-–—][ \t]+|(?<=[是为])[ \t]*:?|[是为][ \t]*:?|(?<=[\u4e00-\u9fff])[ \t]+)",
    re.IGNORECASE,
)
_OPENERS = r"[ \t\"'“”‘’「『<(\[{]*"
_CLOSERS = r"[ \t\"'“”‘’」』>)\]}]*"
_NAME = (
    r"(?:(?:the|answer|response|assistant|option|output|candidate|model|choice|reply|completion|回答|答案|回复|选项|助手|模型)"
    rf"[ \t]*[#:_-]?{_OPENERS}){{0,3}}"
)
_WORD = r"(?:a|b|1|2|first|second|one|two|former|latter|前者|后者|第一个?|第二个?|甲|乙)"
_SIDE = re.compile(rf"{_OPENERS}{_NAME}(?P<side>{_WORD})(?![A-Za-z0-9])(?:个)?", re.IGNORECASE)
_NEITHER = re.compile(
    rf"\[\[[cC]\]\]|{_OPENERS}(?:(?:it[ \t]+is|it's)[ \t]+)?"
    r"(?:(?:an?[ \t]+)?(?:tied?|draw)|neither|both|equal(?:ly)?|same|none|"
    r"平局|平手|一样|相同|都|两者|不相上下|难分高下|没有)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_RELATION = re.compile(
    rf"{_OPENERS}{_NAME}(?P<one>{_WORD})(?![A-Za-z0-9])[ \t\"')\]]*(?P<sign>>{{1,3}}|<{{1,3}}|={{1,2}}|[≈≫≪≥≤≻≺〈〉~])"
    rf"{_OPENERS}{_NAME}(?P<two>{_WORD})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_LETTERS, _DIGITS = r"[ab]", r"[12]"
_OTHERS = {  # what the other side of "A or B", "1 or 2", "the first or the second" is called
    **dict.fromkeys("ab", _LETTERS), **dict.fromkeys("12", _DIGITS),
}  # fmt: skip
_JOINED = (
    r"(?:[/,&]|\b(?:or|and|oder|ou|vs)\b\.?|[,(—–-][ \t]*(?:or|and|maybe|perhaps|possibly)\b|还是|或[者是]?|和|与|、)"
    r"[ \t,(]*(?:(?:or|and)[ \t]+)?(?:(?:possibly|perhaps|maybe)[ \t]+)?"
)
# A second side that the first is set against: "A or B"; not "A (A answers, B does not)".
_MORE: dict[str, re.Pattern[str]] = {
    kind: re.compile(
        rf"{_CLOSERS}{_JOINED}{_OPENERS}{_NAME}{kind}(?![A-Za-z0-9])"
        r"(?![ \t]+(?:is|does|has|had|only|lacks?|was|gives|fails|errors?|points?)\b)"
        + (r"|(?-i:[ \t]+[AB])[^\w\n]*$" if kind == _LETTERS else ""),
        re.IGNORECASE,
    )
    for kind in (_LETTERS, _DIGITS, _WORD)
}
_SUPPOSED = re.compile(
    rf"{_CLOSERS}[,;]?[ \t]*(?:would|could|might|should|needs?|requires?|if|when|unless)\b"
    rf"|{_CLOSERS}(?:则|才|需要|应该|如果)",
    re.IGNORECASE,
)
_NOT = re.compile(r"[ \t]*(?:not|n't|neither|不是|并非)\b", re.IGNORECASE)
# What says that the side it follows is not the better one, or asks.
_LOSES = re.compile(
    rf"{_CLOSERS}[ \t]*(?:\?|loses\b|(?:is|was)"
    r"(?:n't|[ \t]+(?:not|(?:the[ \t]+)?(?:worse|worst|less|inferior|weaker|poorer)))\b|不如|不是|更差|较差)",
    re.IGNORECASE,
)
# A noun of its own after an article or a number in words: "a little of each", "the first sentence", "one that cites".
_NOUN = re.compile(
    rf"[ \t]+(?!(?:{_THINGS}|is|was|wins|because|since|over|than|as|for|by|with|due|although|but|and|or|in|overall)\b)"
    r"[a-z]"
)
_UNNAMED = re.compile(rf"{_OPENERS}(?:the[ \t]+)?(?:a|one|two|first|second|former|latter|1|2)$")
# After "both" or "neither", the side that is the better one all the same: "but B is better", "so A."
_YET = re.compile(
    rf"{_OPENERS}(?:both|neither|都|两者)[^\n]{{0,120}}?(?:\b(?:but|however|though|yet|so)\b|[;；]|但是?|不过)[ \t,]*"
    rf"(?P<side>{_NAME}{_WORD})(?:(?:[ \t]+(?:is|was)[ \t]+(?:(?:clearly|slightly|much|far|the)[ \t]+){{0,2}}"
    r"(?:better|best|stronger|superior|preferred)\b|更好)|[^\w\n]*$)",
    re.IGNORECASE,
)
_BRACKETED = re.compile(
    r"\[\[(?P<said>[^\[\]\n]{1,20})\]\]|\\boxed\s?\{(?P<boxed>(?:[^{}\n]|\{[^{}\n]{0,20}\}){1,40})\}"
)
_TAG = re.compile(r"<(?P<tag>[A-Za-z][\w -]{0,30})>\s{0,20}(?P<said>[^<\n]{1,60}?)\s{0,20}</(?P=tag)>", re.IGNORECASE)
_KEY = re.compile(r"""["'](?P<label>[\w -]{1,30})["'][ \t\n]{0,20}:[ \t\n]{0,20}(?=["']?(?P<said>[^"'\n,}]{1,40}))""")
_ONLY = re.compile(
    rf"[^\w\n]*(?:(?i:answer|response|assistant|option|output|回答|答案)[ \t]*{_OPENERS})?"
    r"(?P<side>[AB]|(?<=\()[ab](?=\)))[^\w\n]*"
)
# A sentence that says which is better, and then nothing of a single respect ("better at spelling").
_SENTENCE = re.compile(
    rf"{BEGINNING}(?:(?:i[ \t]+(?:think|believe|find)|我认为|我觉得)[ \t,]*)?"
    rf"(?P<said>{_NAME}{_WORD}(?:(?:(?<=first)|(?<=second)){_THING})?)(?:的(?:回答|答案|回复))?[ \t\"'“”)\]]*"
    r"(?:(?:(?<=[ \t])|[ \t]+)(?:wins\b|(?:is|was)\b[ \t]*"
    r"(?:(?:clearly|slightly|much|far|the|overall|marginally|significantly)[ \t]+){0,3}"
    rf"(?:better|best|winner|stronger|preferred|preferable|superior){_THING})"
    rf"|[ \t]*(?:更好|较好|更优|更佳|胜出|获胜|(?:比|优于|好于|胜过){_NAME}{_WORD}(?:更?好)?))"
    rf"(?=(?:[ \t]+than[ \t]+{_NAME}{_WORD}{_THING})?"
    r"(?:[ \t]+(?:because|since|overall|as|due)\b|[^\w\n]*(?:\n|$)|[,.;:!。]))"
    rf"|{BEGINNING}(?P<tie>(?:it[ \t]+is|it's|this[ \t]+is)[ \t]+a[ \t]+(?:tie|draw)"
    r"|(?:both|they|the[ \t]+two)(?:[ \t]+(?:responses|answers))?[ \t]+are[ \t]+equally"
    r"|neither[ \t]+is[ \t]+better|(?:两(?:个|者|份)(?:回答|答案)?)?(?:平局|不相上下|难分高下|一样好))",
    re.IGNORECASE,
)
_PREFER = re.compile(
    rf"{BEGINNING}(?:i[ \t]+(?:would[ \t]+)?(?:prefer|choose|pick)[ \t]+|我(?:选择?|更喜欢|倾向于?)[ \t]*)"
    rf"(?P<said>{_NAME}{_WORD})(?![A-Za-z0-9]|['’]s)",
    re.IGNORECASE,
)
_STRICT = re.compile(r"(?:(?:the|my|final)[ \t]+){0,2}answer|答案", re.IGNORECASE)
_NEXT_LINE = re.compile(r"[ \t]{0,40}(?:\r?\n[ \t]{0,40}){1,4}(?P<line>[^\n\r]{1,60})(?=[\n\r]|$)")
_NOTHING = re.compile(r"[^\w\n]*$")
_EQUAL = re.compile(r"[^\n]{0,30}\b(?:equal(?:ly)?|tied?|same)\b|[^\n]{0,10}(?:一样|相同|相当)", re.IGNORECASE)
_LINE = 200  # characters after the label in which the verdict is read
_SIDES: dict[str, Preference] = {
    **dict.fromkeys(("a", "1", "first", "one", "former", "前者", "第一", "第一个", "甲"), "first"),
    **dict.fromkeys(("b", "2", "second", "two", "latter", "后者", "第二", "第二个", "乙"), "second"),
}
_NO_SIDE = "neither A nor B on the verdict line"
_BOTH_SIDES = "A and B on the verdict line"


@dataclass(frozen=True, slots=True)
class ParsedVerdict:
    """Which of the two shown responses is preferred, or None with the reason why that is not known."""

    value: Preference | None
    reason: str | None


def parse_verdict(text: str, shown: Sequence[str] = ()) -> ParsedVerdict:
    """Return the preference that a judge's text gives ("Better: A"), or that of a text that is A or B only.

    `shown` are the responses it compares: a verdict that is in one of them word for word may be a copy, and does not
    count.

    A thought is cut away first. The first complete verdict counts, unless a later one is called final or corrects it.
    Refused: no verdict, one that names both ("A or B") or neither in words it does not know, two that contradict each
    other.
    """
    spoken = split_thought(text)
    said = spoken.before if spoken.answer is None else spoken.answer
    wide = usual_forms(said)
    only = _ONLY.fullmatch(wide.strip())
    if only is not None:
        return ParsedVerdict(_SIDES[only["side"].lower()], None)
    bare = plain(said)
    if relation := _RELATION.fullmatch(bare.strip().rstrip(".。")):
        value, reason, _ = _read(relation.group()) or (None, _NO_SIDE, 0)
        return ParsedVerdict(value, reason)
    keyed = list(_keyed(wide))
    # What else a JSON object says is not a verdict line.
    objects = [(start, end) for start, end, _ in json_spans(wide)] if keyed else []
    found = [*_bracketed(wide), *_tagged(wide), *keyed, *_lines(masked(bare, objects))]
    if not found:
        return ParsedVerdict(None, "no verdict line" if spoken.answer is not None else UNCLOSED)
    theirs = {_squeezed(line) for response in shown for line in response.splitlines()}
    own = [answer for answer in found if not _is_theirs(wide, answer, theirs, shown)]
    if not own:
        return ParsedVerdict(None, "its verdict is in a response too")
    answer = settle(bare, own)
    return ParsedVerdict(None, None) if answer is None else ParsedVerdict(answer.value, answer.reason)


def _is_theirs(text: str, answer: _Found, theirs: set[str], shown: Sequence[str]) -> bool:
    """Whether the verdict is a response's: a line of it, or copied from it with the words around."""
    rest = text[answer.end : answer.end + _LINE].split("\n", 1)[0]
    line = _squeezed(text[answer.start : answer.end] + rest)
    own = _squeezed(text[answer.start : answer.end])
    if len(own) < 3:  # "[[A]]" is no copy of any "a"
        return any(text[answer.start : answer.end] in usual_forms(response) for response in shown)
    return bool({line, own} & theirs) or any(
        is_copy(text, answer.start, answer.end, response, cut=False) for response in shown
    )


def _lines(text: str) -> Iterator[_Found]:
    for label in _LABEL.finditer(text):
        begins = label.end()
        said = re.split(r"[\n\r]", text[begins : begins + _LINE], maxsplit=1)[0]
        strict = _STRICT.fullmatch(label["label"]) is not None
        rank = FINAL if FINAL_WORDS.search(label["label"]) and not strict else PLAIN
        if not said.strip():
            below = _NEXT_LINE.match(text, begins)
            if below is None:
                continue
            said, begins, strict = below["line"], below.start("line"), True
        for answer in _answer(label.start("label"), begins, said, rank):
            if not strict or (answer.value is not None and _NOTHING.match(said[answer.end - begins :])):
                yield answer
    for sentence in _SENTENCE.finditer(text):
        if sentence["tie"]:
            yield Answer(sentence.start("tie"), sentence.end(), "neither", None, WEAK)
        else:
            yield from _answer(sentence.start("said"), sentence.start("said"), _named(text, sentence), WEAK)
    for sentence in _PREFER.finditer(text):
        yield from _answer(sentence.start("said"), sentence.start("said"), _named(text, sentence), WEAK)


def _named(text: str, sentence: re.Match[str]) -> str:
    """A side, and the word after it if that makes it something else: "a concise answer"."""
    after = _NOUN.match(text, sentence.end("said"))
    return text[sentence.start("said") : after.end() if after else sentence.end("said")]


def _bracketed(text: str) -> Iterator[_Found]:
    for match in _BRACKETED.finditer(text):
        group = "said" if match["said"] else "boxed"
        said = plain(match[group])
        if _SUPPOSED.match(text, match.end()) is None and not (match["boxed"] and re.fullmatch(r"[^\w]*\d.*", said)):
            read = ("neither", None, 1) if said.strip() in ("C", "c") else _read(said)
            if read is not None:
                yield Answer(match.start(), match.end(), read[0], read[1], WEAK)


def _tagged(text: str) -> Iterator[_Found]:
    for match in _TAG.finditer(text):
        label = re.sub(r"[_\s-]+", " ", match["tag"])
        if not (label.lower() == "result" or re.fullmatch(_LABEL_WORDS, label, re.IGNORECASE)):
            continue
        if (read := _read(plain(match["said"]))) is not None:
            yield Answer(match.start(), match.end(), read[0], read[1])


def _keyed(text: str) -> Iterator[_Found]:
    for match in _KEY.finditer(text):
        label = re.sub(r"[_\s-]+", " ", match["label"])
        if re.fullmatch(_LABEL_WORDS, label, re.IGNORECASE):
            rank = FINAL if FINAL_WORDS.search(label) else PLAIN
            yield from _answer(match.start(), match.start("said"), match["said"], rank)


def _read(said: str) -> tuple[Preference | None, str | None, int] | None:
    """The preference at the beginning of a text, or why there is none, and how far it goes; None for one that the text
    only speaks of."""
    relation = _RELATION.match(said)
    if relation is not None:
        one, two = relation["one"].lower(), relation["two"].lower()
        if _SIDES[one] == _SIDES[two]:
            return None, _NO_SIDE, relation.end()
        value: Preference = "neither"
        if relation["sign"][0] in ">≫≻〉":
            value = _SIDES[one]
        elif relation["sign"][0] in "<≪≺〈":
            value = _SIDES[two]
        elif relation["sign"] in "≥≤~":
            return None, _BOTH_SIDES, relation.end()
        return value, None, relation.end()
    neither = _NEITHER.match(said)
    side = _SIDE.match(said)
    if neither is not None and (side is None or neither.end() > side.end()):
        yet = _YET.match(said)
        if yet is not None and (named := _SIDE.match(yet["side"])) is not None:
            return _SIDES[named["side"].lower()], None, yet.end()
        return "neither", None, neither.end()
    if side is None or _NOT.match(said):
        return None, _NO_SIDE, 0
    rest = said[side.end() :]
    if _UNNAMED.fullmatch(side.group()) and not side.group().endswith("A") and _NOUN.match(rest):
        # "a little of each" says which no more than any words; "the one that cites" is yet to be named.
        return (None, _NO_SIDE, 0) if side.group() == "a" else None
    if _SUPPOSED.match(rest):
        return None
    if _LOSES.match(rest):
        return None, _NO_SIDE, side.end()
    more = _MORE[_OTHERS.get(side["side"].lower(), _WORD)].match(rest)
    if more is not None:
        if _EQUAL.match(rest, more.end()):
            return "neither", None, side.end()
        return None, _BOTH_SIDES, side.end()
    return _SIDES[side["side"].lower()], None, side.end()


def _answer(start: int, offset: int, said: str, rank: int) -> Iterator[_Found]:
    read = _read(said)
    if read is not None:
        value, reason, length = read
        yield Answer(start, offset + length, value, reason, rank)


def _squeezed(line: str) -> str:
    """Letters and digits alone, in one case and width."""
    return "".join(re.findall(r"\w", usual_forms(line).casefold()))
