"""Scores in a form with a structure of its own: JSON, tags, `[[4]]` and LaTeX's box."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.judging.answers import WEAK, Answer, plain
from judgeloop.judging.score_line import ScoreWords
from judgeloop.judging.score_number import Number, read_number
from judgeloop.judging.tool_calls import call_spans, opened

_MARK = re.compile(r'["{}\[\]]')
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*+')
_DEEP = 20  # objects nested deeper are not looked into
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_HIGHEST_KEY = re.compile(r"\b(?:max(?:imum)?|possible|highest|scale|range)\b|\bout ?of\b|满分", re.IGNORECASE)
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
_ANSWER_WORDS = frozenset({"answer", "result", "output", "verdict", "evaluation", "judgement", "judgment"})
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


# JSON


def json_spans(text: str) -> list[tuple[int, int, dict[str, Any] | list[Any]]]:
    """The outermost JSON objects and lists in a text, with where they are: whole texts, fenced, or inside prose. The
    arguments of a tool call are such an object, in whatever form."""
    open_marks: list[tuple[str, int]] = []
    spans: list[tuple[int, int, int]] = []
    for mark, place in _brackets(text):
        if mark in "{[":
            open_marks.append((mark, place))
        elif mark in "}]" and open_marks:
            if open_marks[-1][0] != ("{" if mark == "}" else "["):
                open_marks.clear()  # brackets of prose
                continue
            spans.append((open_marks.pop()[1], place + 1, len(open_marks)))
    found: list[tuple[int, int, dict[str, Any] | list[Any]]] = [*call_spans(text)]
    for start, end, depth in sorted(spans, key=lambda span: (span[0], -span[1])):
        if depth <= _DEEP and (not found or start >= found[-1][1]):
            try:
                value = json.loads(text[start:end], parse_float=str, object_hook=opened)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict) or any(isinstance(item, dict) for item in value):
                found.append((start, end, value))
    return found


def _brackets(text: str) -> Iterator[tuple[str, int]]:
    """The brackets outside of strings, with where they are. A quote that no other ends on its line begins no string,
    nor does an escaped one after it, so that each is looked at once."""
    place = unended = 0
    while mark := _MARK.search(text, place):
        place = mark.end()
        if mark.group() != '"':
            yield mark.group(), mark.start()
        elif place > unended:
            string = _STRING.match(text, mark.start())
            assert string is not None
            if text.startswith('"', string.end()):
                place = string.end() + 1
            else:
                unended = string.end()


def json_answers(
    text: str, spans: Sequence[tuple[int, int, dict[str, Any] | list[Any]]], scale: Scale, key: str | None = None
) -> Iterator[Answer[float] | None]:
    """The score of each JSON value: the key that names one, nearest to the outside. With `key`, that key alone."""
    for start, end, value in spans:
        level, above = _objects([value]), list[dict[str, Any]]()
        while level:
            named = [(name, item[name], item) for item in level for name in item if _names(name, scale, key)]
            if named:
                yield _json_answer(text[start:end], start, named, above, scale)
                break
            above += level
            level = _objects([inner for item in level for inner in item.values()])
        else:
            if key is None and isinstance(value, dict):
                yield from _answer_key(value, start, end, scale)


def _answer_key(value: dict[str, Any], start: int, end: int, scale: Scale) -> Iterator[Answer[float]]:
    """The score line that is the one answer in a JSON object: `{"verdict": "Score: 4"}`. A number alone may answer the
    user instead."""
    given = [value[name] for name in value if _words_of(name).lower() in _ANSWER_WORDS]
    said = plain(given[0]) if len(given) == 1 and isinstance(given[0], str) else ""
    number = number_inside(said, scale) if scale.names(said.rpartition(":")[0]) else None
    if number is not None:
        yield Answer(start, end, number.value, number.reason, WEAK)


def _objects(values: Sequence[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for value in values:
        if isinstance(value, dict):
            found.append(value)
        elif isinstance(value, list):
            found += [item for item in value if isinstance(item, dict)]
    return found


def _words_of(name: str) -> str:
    return re.sub(r"[_\s-]+", " ", _CAMEL.sub(" ", name)).strip()


def _names(name: str, scale: Scale, key: str | None) -> bool:
    return name == key if key else scale.names(_words_of(name)) is not None


def _json_answer(
    text: str,
    start: int,
    named: Sequence[tuple[str, Any, dict[str, Any]]],
    above: Sequence[dict[str, Any]],
    scale: Scale,
) -> Answer[float] | None:
    ranked = [(scale.words.rank(_words_of(name)), name, value, item) for name, value, item in named]
    numeric = [entry for entry in ranked if _json_number(entry[2], scale, None) is not None]
    ranked = numeric or ranked  # "rating": "good" beside a score says it in words
    totals: list[Any] = []
    # A "total" beside a "score" may be the highest one.
    if any(name.lower() in ("score", "rating") for _, name, _, _ in ranked):
        others = [entry for entry in ranked if _words_of(entry[1]).lower() not in ("total", "overall", "sum")]
        totals = [entry[2] for entry in ranked if entry not in others and _words_of(entry[1]).lower() == "total"]
        ranked = others or ranked
    top = max(rank for rank, *_ in ranked)
    best = [(name, value, item) for rank, name, value, item in ranked if rank == top]
    place = re.search(rf'"{re.escape(best[0][0])}"\s*:\s*"?[^,}}\n]{{0,40}}', text) or re.match(r".*", text, re.DOTALL)
    assert place is not None
    begins, ends = start + place.start(), start + place.end()
    numbers = [_json_number(value, scale, _scale_of(name, scale)) for name, value, _ in best]
    if any(number is None for number in numbers):
        return None
    number = numbers[0]
    assert number is not None
    if len(best) > 1 and (len({id(item) for *_, item in best}) > 1 or len({one and one.value for one in numbers}) > 1):
        return Answer(begins, ends, None, "several scores in the JSON and no total", top)
    _, value, own = best[0]
    highest = [last_number(given) for item in (own, *_objects([value]), *above) for name, given in item.items()
               if name != best[0][0] and _HIGHEST_KEY.search(_words_of(name))]  # fmt: skip
    highest += [total for total in map(last_number, totals) if total is not None and total > scale.high]
    other = next((one for one in highest if one is not None and one != scale.high), None)
    if other is not None:
        return Answer(begins, ends, None, f"score out of {other:g}, not {scale.high}", top)
    return Answer(begins, ends, number.value, number.reason, top)


def last_number(given: object) -> float | None:
    """10 of 10, "10" and "1-10"."""
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        return None
    found = re.fullmatch(r"(?:\d{1,4}[ \t]*(?:-|–|to)[ \t]*)?(?P<last>\d{1,4}(?:\.\d{1,4})?)", str(given).strip())
    return float(found["last"]) if found else None


def _scale_of(name: str, scale: Scale) -> str | None:
    match = scale.names(_words_of(name))
    return match["scale"] if match else None


def _json_number(value: object, scale: Scale, named: str | None) -> Number | None:
    if isinstance(value, dict):
        inner = [value[name] for name in value if _words_of(name).lower() in ("value", "score", "total")]
        return _json_number(inner[0], scale, named) if len(inner) == 1 and not isinstance(inner[0], dict) else None
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list):
        return _json_number(value[0], scale, named)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    return number_inside(plain(str(value)), scale, named, gloss=True)


# Tags, brackets, boxes


def tag_answers(text: str, scale: Scale, tag: str | None = None) -> Iterator[Answer[float] | None]:
    """`<score>4</score>` and the like. With `tag`, that tag alone."""
    for match in _TAG.finditer(text):
        name = _words_of(match["tag"])
        usual = scale.names(name) is not None
        if match["tag"].lower() == tag.lower() if tag else usual or name.lower() in _ANSWER_WORDS:
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
