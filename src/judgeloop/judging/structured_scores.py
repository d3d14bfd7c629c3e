"""Scores in a form with marks of its own around them: tags, `[[4]]` and LaTeX's box."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from judgeloop.judging.answers import WEAK, Answer, plain
from judgeloop.judging.score_line import ScoreWords
from judgeloop.judging.score_number import Number, read_number

_TAG = re.compile(
    r"<(?P<tag>[^\W\d][\w -]{0,30}?)"
    r"(?P<scale>[ \t]+(?:max|scale|range|out_?of)[\w-]{0,9}[ \t]?=[ \t]?[\"'][^\"'<>\n]{1,20}[\"'])?>"
    r"\s{0,20}(?P<content>[^<\n]{1,60}?)\s{0,20}(?:(?P<end></(?P=tag)>)|(?=\n)|$)",
    re.IGNORECASE,
)
_ELEMENT = re.compile(r"<(?P<tag>[^\W\d][\w -]{0,30})>[^<]{0,20000}</(?P=tag)>", re.IGNORECASE)
_REASONS = re.compile(
    r"<(?P<tag>rationale|justification|explanation|feedback|critique|reason(?:ing|s)?|analysis|thoughts?|draft|notes?|review"
    r"|details|reflection|scratchpad)(?:[ \t][^<>\n]{0,80})?>(?:(?!<(?P=tag)\b).)*?</(?P=tag)>",
    re.IGNORECASE | re.DOTALL,
)
ANSWER_WORDS = frozenset({"answer", "result", "output", "verdict", "evaluation", "judgement", "judgment"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_BOXED = re.compile(
    r"\\(?:boxed|fbox)\s{0,4}\{(?P<content>(?:[^{}\n]|\{[^{}\n]{0,60}\}){1,80})\}"
    r"|<\|begin_of_box\|>(?P<glm>[^<\n]{1,80})<\|end_of_box\|>"
)
_BRACKETED = re.compile(r"\[\[(?P<content>[^\[\]\n]{1,20})\]\]")
# A box that is told of the response, and gives it no score: "Its final answer \\boxed{4} is right."
_TOLD = re.compile(
    r"\b(?:correct|right|wrong|incorrect|expected|reference|true|actual|its|their|'s)[ \t]+(?:final[ \t]+)?"
    r"(?:answer|result|value|solution)\b[^,;]{0,40}$"
    r"|\b(?:response|assistant|model|solution|student|it)[ \t]+(?:[a-z]+ly[ \t]+|also[ \t]+)?(?:gives?|gave|says?|said"
    r"|state[sd]|claim(?:s|ed)|conclude[sd]|writes|wrote|finds|found|obtain(?:s|ed)|reache[sd]|arrive[sd]|compute[sd]"
    r"|calculate[sd]|end(?:s|ed)|boxe[sd]|answer(?:s|ed)|present(?:s|ed)|provide[sd]|report(?:s|ed)|contains)\b"
    r"(?![^,;]{0,40}\b(?:score|rating|grade|points?)\b)[^,;]{0,40}$"
    r"|(?<![a-z])[a-z][ \t]*=[ \t$]*$|\bsee[ \t]*$",
    re.IGNORECASE,
)
_OF_IT = re.compile(
    r"[^\w\n.]{0,4}\b(?:is|was|are|were|equals?|does|matches|follows|which|instead|in[ \t]+the)\b", re.IGNORECASE
)
_INSIDE = re.compile(r"\\[a-z]{1,8}\s?\{|[{}$\\]")
_BARE = re.compile(r"[^\w\n]{0,20}\d{1,9}(?:\.\d{1,9})?(?:[ \t]*(?:/|out[ \t]of)[ \t]*\d{1,9}(?:\.0)?)?[^\w\n]{0,20}")
_GLOSS = re.compile(r"[ \t]*(?:[-–—:,][ \t]+|\(|[ \t](?:because|since|as)[ \t])[^\d\n]{1,60}")


@dataclass(frozen=True, slots=True)
class Scale:
    """The words and the bounds that a score is read with."""

    words: ScoreWords
    low: int
    high: int

    def names(self, text: str) -> re.Match[str] | None:
        """Whether a text is a label and nothing else."""
        return self.words.whole.fullmatch(text)

    def alone(self, text: str, scale: str | None = None, *, gloss: bool = False) -> Number | None:
        """The number that is all of a text; None if there is none or other words follow. With `gloss`, words set apart
        from it may follow, as on a score line: "4 (good)"."""
        number = read_number(text, self.low, self.high, scale)
        if number is None or not re.search(r"\w", _without_unit(number.rest)):
            return number
        return number if gloss and not number.supposed and _GLOSS.fullmatch(_without_unit(number.rest)) else None


def _without_unit(rest: str) -> str:
    return re.sub(r"^\W{0,9}(?:points?|pts|stars?|分)(?![a-z])", "", rest, flags=re.IGNORECASE)


def words_of(name: str) -> str:
    return re.sub(r"[_\s-]+", " ", _CAMEL.sub(" ", name)).strip()


def tag_answers(text: str, scale: Scale, tag: str | None = None) -> Iterator[Answer[float] | None]:
    """`<score>4</score>` and the like. With `tag`, that tag alone."""
    for match in _TAG.finditer(text):
        name = words_of(match["tag"])
        usual = scale.names(name) is not None
        if match["tag"].lower() == tag.lower() if tag else usual or name.lower() in ANSWER_WORDS:
            number = number_inside(plain(match["content"]), scale, match["scale"], gloss=usual or tag is not None)
            if number is not None:
                rank = scale.words.rank(name) if usual or tag else WEAK
                yield Answer(match.start(), match.end(), number.value, number.reason, rank)
            elif (usual or tag) and match["end"]:
                yield None


def element_spans(text: str, answers: Sequence[Answer[float]]) -> list[tuple[int, int]]:
    """The closed elements of a text that hold other words than these answers, such as a rationale."""
    starts = {answer.start for answer in answers}
    return [element.span() for element in _ELEMENT.finditer(text) if element.start() not in starts]


def reason_spans(text: str) -> list[tuple[int, int]]:
    """The closed elements of a text that are named as reasons."""
    return [element.span() for element in _REASONS.finditer(text)]


def within(answer: Answer[float], spans: Sequence[tuple[int, int]]) -> bool:
    """Whether an answer is inside one of these parts of the text."""
    return any(start <= answer.start and answer.end <= end for start, end in spans)


def bracketed_answers(text: str, scale: Scale, rank: int = WEAK) -> Iterator[Answer[float]]:
    """`[[4]]`."""
    return _enclosed(_BRACKETED, text, scale, rank)


def boxed_answers(text: str, scale: Scale) -> Iterator[Answer[float]]:
    r"""`\\boxed{4}`."""
    return _enclosed(_BOXED, text, scale, WEAK)


def _enclosed(pattern: re.Pattern[str], text: str, scale: Scale, rank: int) -> Iterator[Answer[float]]:
    for match in pattern.finditer(text):
        number = number_inside(match[match.lastgroup or 0], scale)
        if number is not None and (rank > WEAK or not _told_of(text, match)):
            yield Answer(match.start(), match.end(), number.value, number.reason, rank)


def _told_of(text: str, box: re.Match[str]) -> bool:
    """Whether the sentence around a box tells of the response."""
    before = re.split(r"[.!?。！？\n]", text[max(0, box.start() - 200) : box.start()])[-1]
    return _TOLD.search(before) is not None or _OF_IT.match(text, box.end()) is not None


def number_inside(content: str, scale: Scale, named: str | None = None, *, gloss: bool = False) -> Number | None:
    """The number in a tag, a box or a string, which may repeat the label."""
    said = _INSIDE.sub(" ", content).strip()
    label, colon, number = said.rpartition(":")
    return scale.alone(number if colon and scale.names(label) else said, named, gloss=gloss)


def bare_answer(text: str, scale: Scale) -> Iterator[Answer[float]]:
    """A text that is a number and nothing else."""
    stripped = text.strip()
    number = scale.alone(plain(stripped)) if _BARE.fullmatch(stripped) else None
    if number is not None:
        start = text.index(stripped)
        yield Answer(start, start + len(stripped), number.value, number.reason, WEAK)
