"""Scores in JSON: a whole text, a fenced object, one inside prose, several of them, the arguments of a tool call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from judgeloop.judging.answers import WEAK, Answer, plain
from judgeloop.judging.score_number import Number
from judgeloop.judging.structured_scores import ANSWER_WORDS, Scale, number_inside, words_of
from judgeloop.judging.tool_calls import call_spans, opened

_MARK = re.compile(r'["{}\[\]]')
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*+')
_DEEP = 20  # objects nested deeper are not looked into
_SEVERAL = "several scores in the JSON and no total"
# Keys whose value says what an object is about: one criterion, one of two responses.
_OF_WHAT = frozenset({"criterion", "criteria", "name", "aspect", "dimension", "category", "metric", "response", "model",
                      "assistant", "candidate", "id", "评分项", "维度"})  # fmt: skip
_TOTAL = re.compile(r"(?:(?:total|overall|final)(?:[ _](?:score|points|rating))?|总分|总计|合计)", re.IGNORECASE)
_HIGHEST_KEY = re.compile(r"\b(?:max(?:imum)?|possible|highest|scale|range)\b|\bout ?of\b|满分", re.IGNORECASE)


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
    """The score of each JSON value: the key that names one, nearest to the outside. With `key`, that key alone. Values
    that are each about something else, one a line, give no score together."""
    about = [_about(value) for *_, value in spans if isinstance(value, dict)]
    apart = len(about) > 1 and None not in about and len(set(about)) > 1
    for answer in _each_score(text, spans, scale, key):
        yield replace(answer, value=None, reason=_SEVERAL) if apart and answer is not None else answer


def _about(value: Mapping[str, Any]) -> str | None:
    return next((str(value[name]) for name in value if words_of(name).lower() in _OF_WHAT), None)


def _each_score(
    text: str, spans: Sequence[tuple[int, int, dict[str, Any] | list[Any]]], scale: Scale, key: str | None
) -> Iterator[Answer[float] | None]:
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
    given = [value[name] for name in value if words_of(name).lower() in ANSWER_WORDS]
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


def _names(name: str, scale: Scale, key: str | None) -> bool:
    return name == key if key else scale.names(words_of(name)) is not None


def _json_answer(
    text: str,
    start: int,
    named: Sequence[tuple[str, Any, dict[str, Any]]],
    above: Sequence[dict[str, Any]],
    scale: Scale,
) -> Answer[float] | None:
    ranked = [(scale.words.rank(words_of(name)), name, value, item) for name, value, item in named]
    numeric = [entry for entry in ranked if _json_number(entry[2], scale, None) is not None]
    ranked = numeric or ranked  # "rating": "good" beside a score says it in words
    totals: list[Any] = []
    # A "total" beside a "score" may be the highest one.
    if any(name.lower() in ("score", "rating") for _, name, _, _ in ranked):
        others = [entry for entry in ranked if words_of(entry[1]).lower() not in ("total", "overall", "sum")]
        totals = [entry[2] for entry in ranked if entry not in others and words_of(entry[1]).lower() == "total"]
        ranked = others or ranked
    # Of a list of criteria the one that is called the total.
    totalled = [entry for entry in ranked if (about := _about(entry[3])) and _TOTAL.fullmatch(about.strip())]
    ranked = totalled if len(totalled) == 1 else ranked
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
        return Answer(begins, ends, None, _SEVERAL, top)
    _, value, own = best[0]
    highest = [last_number(given) for item in (own, *_objects([value]), *above) for name, given in item.items()
               if name != best[0][0] and _HIGHEST_KEY.search(words_of(name))]  # fmt: skip
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
    match = scale.names(words_of(name))
    return match["scale"] if match else None


def _json_number(value: object, scale: Scale, named: str | None) -> Number | None:
    if isinstance(value, dict):
        inner = [value[name] for name in value if words_of(name).lower() in ("value", "score", "total")]
        return _json_number(inner[0], scale, named) if len(inner) == 1 and not isinstance(inner[0], dict) else None
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list):
        return _json_number(value[0], scale, named)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    return number_inside(plain(str(value)), scale, named, gloss=True)
