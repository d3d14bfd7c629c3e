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
    without_repeated,
)
from judgeloop.judging.copied_scores import is_copy
from judgeloop.judging.json_scores import json_spans
from judgeloop.judging.parse_score import UNCLOSED
from judgeloop.judging.tool_calls import call_spans
from judgeloop.judging.verdict_sentences import sentence_answers, side_answer
from judgeloop.judging.verdict_words import (
    LOSES,
    NO_SIDE,
    OPENERS,
    RELATION,
    SIDE,
    SIDES,
    SUPPOSED,
    THING,
    THINGS,
    read_side,
)
from judgeloop.records import Preference
from judgeloop.text.thoughts import split_thought

_Found = Answer[Preference]

_LABEL_WORDS = (
    rf"(?:i[ \t]+(?:think|believe|find)[ \t]+(?:that[ \t]+)?)?"
    r"(?:(?:the|my|final|overall|revised|corrected|which[ \t]+is|slightly|marginally|clearly|much)[ \t]+){0,3}"
    rf"(?:answer|better|best|preferred|preference|winner|verdict|choice|judge?ment|decision|chosen|pick|selection|selected|stronger|superior){THING}"
    r"|(?:最终|最后|修正后?的?|更正后?的?|总体|我的)?"
    r"(?:更好|较好|最好|更优|更佳|最佳|胜出|胜者|获胜|获胜者|优胜者|判断|判定|裁决|结论|选择|偏好|优选|答案)"
    r"(?:的)?(?:一个|回答|答案|回复|评语|评委|是|为)?(?:的)?"
    r"|result|vencedora?|ganadora?|gewinner|gagnante?|vincitor[ei]|победитель|勝者|승자|الأفضل"
    r"|(?:(?:an?|la|el|il|die|der)[ \t]+)?(?:mejor|meilleure?|besser|bessere|melhor|migliore|лучше"
    r"|lepsz[ay]|daha[ \t]+iyi)(?:[ \t]+(?:antwort|respuesta|réponse|resposta|risposta|ответ))?"
    r"|より(?:良い|優れた)(?:回答|応答)?|더[ \t]*(?:나은|좋은)(?:[ \t]*(?:답변|응답))?"
)
_LABEL = re.compile(
    rf"{BEGINNING}(?P<label>{_LABEL_WORDS})(?:(?![A-Za-z])|(?<=[\u4e00-\u9fff]))[ \t\"'“”‘’」』)\]]*"
    r"(?:[ \t]?\([^()\n]{1,40}\)[ \t]?)?(?P<separator>[ \t]*(?:[-=]>|→)|[:=][ \t]*(?:is[ \t])?"
    r"|[ \t]*\b(?:is|goes[ \t]+to|would[ \t]+be)\b(?:[ \t]+(?:that|therefore|thus|hence|clearly|obviously)\b)?[ \t]*:?"
    r"|[ \t]+(?:é|è|es|est|ist)[ \t]+(?:(?:a|o|la|el|die)[ \t]+)?(?=(?-i:[AB])\b|prim|segu|zwei|erst|deux|secon)"
    r"|[ \t]+[-–—][ \t]+|(?<=[是为])[ \t]*:?|[是为][ \t]*:?|(?<=[\u4e00-\u9fff])[ \t]+"
    r"|(?<=\])[ \t]*(?=[^\s:])"  # "[RESULT] A"
    r"|[ \t]*(?=(?-i:[AB])[^\w\n]*(?:\n|$))"
    r"|[ \t]*(?=\r?\n))",
    re.IGNORECASE,
)
_BRACKETED = re.compile(
    r"\[\[(?P<said>[^\[\]\n]{1,20})\]\]|\\boxed\s?\{(?P<boxed>(?:[^{}\n]|\{[^{}\n]{0,20}\}){1,40})\}"
    r"|<\|begin_of_box\|>(?P<glm>[^<\n]{1,40})<\|end_of_box\|>"
)
# A side in brackets that is told of a response: "Response A ends with [[A]]".
_TOLD = re.compile(
    r"\b(?:response|answer|assistant|output|model|it|a|b)(?:[ \t]+(?:[ab]|[12]))?[ \t]+(?:says?|claims?|writes?|wrote"
    r"|ends?|contains?|includes?|states?|adds?|appends?)"
    r"(?:[ \t]+(?:with|by|in|that|the|an?|own|line|words?|text|verdict|saying|itself)\b){0,4}[:\"'“` \t\n]{0,4}$"
    # inside a quotation of it
    r"|\b(?:says?|claims?|writes?|wrote|states?|reads?|contains?|includes?|tells?|asks?|instructs?|demands?)\b"
    r"[^.!?\"“`\n]{0,60}[\"“`][^\"”`\n]{0,80}$"
    # not given, or an example
    r"|(?:\bnot|n't|\bnever|\bexample|\be\.g\.?|\bsuch[ \t]as)(?:[ \t]+[a-z]+){0,2}[ \t:,\"'“`]{0,4}$",
    re.IGNORECASE,
)
_DENIED = re.compile(r"[\"'”` \t]*(?:is|was)(?:n't|[ \t]+not)\b", re.IGNORECASE)
# The side that is said to be the worse one, on a line of its own or in JSON.
_LOSER = re.compile(
    r"(?:^|[{,])[^\w\n]{0,9}(?:worse|loser|rejected|dispreferred|更差|较差)[^\w\n]{0,9}:(?P<said>[^\n,}]{1,40})",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(r"<(?P<tag>[A-Za-z][\w -]{0,30})>\s{0,20}(?P<said>[^<\n]{1,60}?)\s{0,20}</(?P=tag)>", re.IGNORECASE)
# Of an object, also where the arguments of a call hold it as a text: `"{\\"winner\\": \\"A\\"}"`.
_KEY = re.compile(
    r"""["'](?P<label>[\w -]{1,30})\\?["'][ \t\n]{0,20}:[ \t\n]{0,20}"""
    r"""(?=\\?["']?(?P<said>(?<=["'])[^"'\n}\\]{1,80}|[^"'\n,}\\]{1,40}))"""
)
# AlpacaEval's list of ranks: the one that is first.
_RANKED = re.compile(
    r"""["']model["']\s?:\s?["'](?P<model>[^"'\n]{1,30})["'],\s{0,20}["']rank["']\s?:\s?["']?1\b"""
    r"""|["']rank["']\s?:\s?["']?1["']?,\s{0,20}["']model["']\s?:\s?["'](?P<name>[^"'\n]{1,30})["']"""
)
_ONLY = re.compile(
    r"[^\w\n]*(?:(?i:answer|response|assistant|option|output|choice|candidate|model|judge?ment|回答|答案)"
    rf"[ \t]*{OPENERS})?"
    r"(?P<side>[AB]|(?<=\()[ab](?=\)))[^\w\n]*(?:</?\|?[a-z_]{1,20}\|?>\s*)?"
)
# What follows a side that is the first line, or the first word before a dash, and a side that is a heading.
_HEADS = r"(?:[^\w\n]*(?:\n|$)|[ \t]+[-–—:]|:)"
_OPENING = re.compile(r"[^\w]*(?P<side>[AB]|(?-i:Tie))(?:[^\w\n:]*\n|[ \t]+[-–—][ \t]+(?=[^\n]+\s*$))")
# A text that is a side or a tie in words and nothing else.
_ONLY_WORDS = re.compile(
    rf"(?:the[ \t]+)?(?:(?:{THINGS})[ \t]*#?[12]|(?:first|second|former|latter){THING}|[前后]者|[前后]一个|第[一二]个)",
    re.IGNORECASE,
)
_ONLY_TIE = re.compile(r"(?:an?[ \t]+)?(?:tied?|draw)|neither|both|平局|平手", re.IGNORECASE)
_STRICT = re.compile(r"(?:(?:the|my|final)[ \t]+){0,2}(?:answer|result)|答案", re.IGNORECASE)
_A_NAME = re.compile(r"answer|judge?ment|choice|答案", re.IGNORECASE)  # "Answer A" on a line may be a heading
_NEXT_LINE = re.compile(r"[ \t]{0,40}(?:\r?\n[ \t]{0,40}){1,4}(?:[-•][ \t]+)?(?P<line>[^\n\r]{1,60})(?=[\n\r]|$)")
_NOTHING = re.compile(r"[^\w\n]*(?:\[/?(?:end|result)\][^\w\n]*)?$", re.IGNORECASE)
_LINE = 200  # characters after the label in which the verdict is read


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
    said = without_repeated(said)
    wide = usual_forms(said)
    only = _ONLY.fullmatch(wide.strip())
    if only is not None and wide.count("[[") <= wide.count("]]"):  # "[[A" may have been about to say "[[A=B]]"
        return ParsedVerdict(SIDES[only["side"].lower()], None)
    bare = plain(said)
    theirs = {_squeezed(line) for response in shown for line in response.splitlines()}
    whole = bare.strip().rstrip(".。!").strip("[]()\"'“” ")
    words = _ONLY_TIE.fullmatch(whole) or _ONLY_WORDS.fullmatch(whole)
    if RELATION.fullmatch(whole) or (words and _squeezed(whole) not in theirs):
        value, reason, _ = read_side(whole) or (None, NO_SIDE, 0)
        return ParsedVerdict(value, reason)
    keyed = list(_keyed(wide))
    # What else a JSON object says is not a verdict line.
    objects = [(start, end) for start, end, _ in json_spans(wide)] if keyed else []
    found = [*_bracketed(wide), *_tagged(wide), *keyed, *_lines(masked(bare, objects))]
    opening = list(_first_line(bare))
    if not found and not opening:
        return ParsedVerdict(None, "no verdict line" if spoken.answer is not None else UNCLOSED)
    own = [answer for answer in found if not _is_theirs(wide, answer, theirs, shown)]
    own += [answer for answer in opening if _squeezed(bare.strip().partition("\n")[0]) not in theirs]
    if not own:
        return ParsedVerdict(None, "its verdict is in a response too")
    answer = settle(bare, own)
    if answer is None:
        return ParsedVerdict(None, None)
    if answer.value in ("first", "second"):
        worse = [read_side(loser["said"]) for loser in _LOSER.finditer(bare)]
        if any(read is not None and read[0] == answer.value for read in worse):
            return ParsedVerdict(None, "the same side is called better and worse")
    return ParsedVerdict(answer.value, answer.reason)


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
        if not label["separator"].strip() and _A_NAME.fullmatch(label["label"]):
            continue
        if not said.strip():
            below = _NEXT_LINE.match(text, begins)
            if below is None:
                continue
            another = _NEXT_LINE.match(text, below.end())
            if another and (named := SIDE.match(another["line"])) and _NOTHING.match(another["line"], named.end()):
                continue  # a list
            said, begins, strict = below["line"], below.start("line"), True
        for answer in side_answer(label.start("label"), begins, said, rank):
            if not strict or (answer.value is not None and _NOTHING.match(said[answer.end - begins :])):
                yield answer
    yield from sentence_answers(text)


def _first_line(text: str) -> Iterator[_Found]:
    """A side that is all of the first line, or stands before a dash in the only line. It is no heading, for the other
    side has no such line, and it is not the side that is said to be wrong."""
    opening = _OPENING.match(text)
    if opening is None:
        return
    side, rest = opening["side"], text[opening.end("side") :]
    if side == "Tie":
        yield Answer(opening.start("side"), opening.end("side"), "neither", None, WEAK)
        return
    other = re.search(rf"(?:^|[;,.])[^\w\n]*(?!{side})[AB]{_HEADS}", rest, re.MULTILINE)
    if other is None and not any(LOSES.match(rest, named.end()) for named in re.finditer(rf"\b{side}\b", rest)):
        yield Answer(opening.start("side"), opening.end("side"), SIDES[opening["side"].lower()], None, WEAK)


def _bracketed(text: str) -> Iterator[_Found]:
    for match in _BRACKETED.finditer(text):
        said = plain(match[match.lastgroup or 0])
        told = (
            SUPPOSED.match(text, match.end())
            or _DENIED.match(text, match.end())
            or _TOLD.search(text, max(0, match.start() - _LINE), match.start())
        )
        if not told and not (match["boxed"] and re.fullmatch(r"[^\w]*\d.*", said)):
            read = ("neither", None, 1) if said.strip() in ("C", "c") else read_side(said)
            if read is not None:
                yield Answer(match.start(), match.end(), read[0], read[1], WEAK)


def _tagged(text: str) -> Iterator[_Found]:
    for match in _TAG.finditer(text):
        label = re.sub(r"[_\s-]+", " ", match["tag"])
        if not re.fullmatch(_LABEL_WORDS, label, re.IGNORECASE):
            continue
        if (read := read_side(plain(match["said"]))) is not None:
            yield Answer(match.start(), match.end(), read[0], read[1])


def _keyed(text: str) -> Iterator[_Found]:
    found = [(match.start(), match.start("said"), match["label"], match["said"]) for match in _KEY.finditer(text)]
    calls = [(start, end, name, value) for start, end, given in call_spans(text) for name, value in given.items()]
    for start, offset, name, said in (*found, *calls):
        label = re.sub(r"[_\s-]+", " ", name)
        if re.fullmatch(_LABEL_WORDS, label, re.IGNORECASE):
            rank = FINAL if FINAL_WORDS.search(label) else PLAIN
            for answer in side_answer(start, offset, said, rank):
                if answer.value is not None or label.lower() != "result":
                    yield answer
    for match in _RANKED.finditer(text):
        group = match.lastgroup or "model"
        for answer in side_answer(match.start(), match.start(group), match[group], PLAIN):
            if answer.value is not None:
                yield answer


def _squeezed(line: str) -> str:
    """Letters and digits alone, in one case and width."""
    return "".join(re.findall(r"\w", usual_forms(line).casefold()))
