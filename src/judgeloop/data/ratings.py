"""Answers that were rated one by one: which belong to one prompt, how they rank, and which are good enough to imitate.

A row that says its answer is bad is never learnt as good: only the best answer to a prompt may be imitated, and only if
no label calls it bad and its rating is in the upper half of the scale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from judgeloop.data.conversations import Answer, Row
from judgeloop.data.fields import dense
from judgeloop.data.intake import Intake
from judgeloop.data.marks import fault_of, label_of, mark_of, says_neither
from judgeloop.data.names import plain_name, unscaled
from judgeloop.data.provenance import Place
from judgeloop.data.scales import highest_good, lowest_good
from judgeloop.records import Message, stable_id

NO_SET = ("prompt with a single rated answer", "prompt whose answers are rated alike", "answer without a rating")
LABELLED_BAD, RATED_LOW = "answer that its label calls bad", "answer rated low"
_SAY = "mend the row, or leave the column unread: seed_data.fields: {{{}: null}}"


class Measure(NamedTuple):
    """What a column rates by: a score, a score of faults (less is better), a rank or a word; what it is out of; and
    whether it is a number of no scale, a reward or a count of votes."""

    kind: Literal["score", "bad_score", "rank", "word"]
    total: float | None = None
    unscaled: bool = False

    def __str__(self) -> str:
        name = {"score": "a number", "bad_score": "a number", "rank": "a rank", "word": "a word"}[self.kind]
        return name if self.total is None else f"{name} out of {self.total:g}"


class Rating(NamedTuple):
    """What a row says of its answer: a number (more is better), and whether a label calls it good; the number's measure
    and the cell that it was read from, in words."""

    value: float | None
    good: bool | None
    measure: Measure | None = None
    said: str = ""


def rating_of(row: Row, intake: Intake) -> Rating:
    """What the row says of its answer. A null says nothing; what is neither number nor label is an error."""
    columns = intake.columns
    value: float | None = None
    good: bool | None = None
    measure: Measure | None = None
    said = ""
    kinds: tuple[Literal["score", "bad_score", "rank"], ...] = ("score", "bad_score", "rank")
    role = next((role for role in kinds if role in columns), None)
    if role is not None:
        key, found = columns.roles[role], intake.value(row, role)
        mark = mark_of(found)
        said = f"'{key}' is {found!r:.60}"
        if mark is None or (mark.good is not None and role != "score"):
            raise intake.place.error(f"{said}, no number", _SAY.format(role))
        if mark.value is not None:
            value = mark.value if role == "score" else -mark.value
            measure = Measure(role, mark.total, unscaled(plain_name(key)))
        elif mark.good is not None:
            good, measure = mark.good, Measure("word")
    first = [(role, columns.roles[role]) for role in ("label", "bad_label") if role in columns]
    for kind, key in (*first, *columns.ratings.more):
        found = row.get(key)
        if says_neither(found):
            continue
        label = label_of(found) if kind == "label" else fault_of(found)
        if label is not None:
            label = label if kind == "label" else not label
            good = label if good is None else good and label
        elif (kind, key) in first:
            raise intake.place.error(f"'{key}' is {found!r:.60}, neither good nor bad", _SAY.format(kind))
    return Rating(value, good, measure, said)


@dataclass(slots=True)
class RatedPrompt:
    """A prompt and the answers to it, in the order of the file."""

    prompt: list[Message]
    answers: list[tuple[Answer, Rating, Place]] = field(default_factory=list)


class RatedAnswers:
    """Answers by prompt, gathered row by row."""

    def __init__(self) -> None:
        self._prompts: dict[str, RatedPrompt] = {}
        self._measure: Measure | None = None

    def add(self, answer: Answer, rating: Rating, place: Place) -> None:
        """Raises InputError if the answer is rated by another measure than those before it: nothing compares them."""
        self._measure = self._measure or rating.measure
        if rating.measure not in (None, self._measure):
            raise place.error(
                f"{rating.said}, {rating.measure}, and {self._measure} in the rows before",
                "rate every row alike, or leave the column unread: seed_data.fields: {score: null}",
            )
        key = stable_id("p", answer.prompt)
        self._prompts.setdefault(key, RatedPrompt(answer.prompt)).answers.append((answer, rating, place))

    def sets(self, dropped: Counter[str]) -> Iterator[tuple[list[Message], list[dict[str, Any]], Place, bool]]:
        """Prompts with at least two answers that are rated apart, ranked; where the first of them is, and whether the
        best is good enough to be imitated."""
        least = self._least()
        for known in self._prompts.values():
            rated: dict[str, float] = {}
            good: set[str] = set()
            for answer, rating, _ in known.answers:
                value = _order(rating)
                if value is None:
                    dropped[NO_SET[2]] += 1
                elif answer.text in rated:
                    dropped["response that occurs twice in its set"] += 1
                else:
                    rated[answer.text] = value
                    if rating.good is not False and (rating.value is None or rating.value >= least):
                        good.add(answer.text)
            if len(rated) < 2:
                dropped[NO_SET[0]] += 1
            elif len(set(rated.values())) < 2:
                dropped[NO_SET[1]] += 1
            else:
                responses = dense([{"text": text, "rank": -value} for text, value in rated.items()])
                yield known.prompt, responses, known.answers[0][2], responses[0]["text"] in good

    def imitable(self, dropped: Counter[str], but: Collection[str] = ()) -> Iterator[tuple[Answer, Place]]:
        """The answers that may be imitated: all that a label calls good; of rated ones the best to each prompt, if its
        rating is in the better half of the scale (of ranks: if it has the first); all, if none of the file is rated.
        Prompts whose ids are in `but` are passed over."""
        least = self._least()
        given = [rating for known in self._prompts.values() for _, rating, _ in known.answers]
        rated = any(rating.value is not None or rating.good is not None for rating in given)
        for name, known in self._prompts.items():
            if name in but:
                continue
            scored = [
                rating.value for _, rating, _ in known.answers if rating.value is not None and rating.good is not False
            ]
            best = max(scored, default=None)
            taken = False
            for answer, rating, place in known.answers:
                if rating.good is False:
                    dropped[LABELLED_BAD] += 1
                elif rated and rating.value is None and rating.good is None:
                    dropped["answer without a rating"] += 1
                elif rating.value is None:
                    yield answer, place
                elif rating.value < least:
                    dropped[RATED_LOW] += 1
                elif rating.value != best or taken:
                    dropped["answer that is not the best of its prompt"] += 1
                else:
                    taken = True
                    yield answer, place

    def _least(self) -> float:
        values = [r.value for known in self._prompts.values() for _, r, _ in known.answers if r.value is not None]
        if self._measure is None or not values:
            return float("-inf")
        if self._measure.kind == "rank":
            return max(values)
        if self._measure.kind == "bad_score":
            return -highest_good([-value for value in values], total=self._measure.total)
        return lowest_good(values, total=self._measure.total, scaled=not self._measure.unscaled)


def _order(rating: Rating) -> float | None:
    """What ranks an answer: its rating, one that is called bad below all others."""
    if rating.value is None:
        return None if rating.good is None else float(rating.good)
    return rating.value - (1e9 if rating.good is False else 0.0)
