"""Answers that were rated one by one: which belong to one prompt, how they rank, and which are good enough to imitate.

A row that says its answer is bad is never learnt as good: only the best answer to a prompt may be imitated, and only if
no label calls it bad and its rating is in the upper half of the scale.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from judgeloop.data.conversations import Answer, Rating
from judgeloop.data.fields import dense
from judgeloop.data.provenance import Place
from judgeloop.records import Message, stable_id

NO_SET = ("prompt with a single rated answer", "prompt whose answers are rated alike", "answer without a rating")
_SCALES = (1.0, 4.0, 5.0, 10.0, 100.0)  # the best that a scale has; the worst is 0 or 1


@dataclass(slots=True)
class RatedPrompt:
    """A prompt and the answers to it, in the order of the file."""

    prompt: list[Message]
    answers: list[tuple[Answer, Rating, Place]] = field(default_factory=list)


class RatedAnswers:
    """Answers by prompt, gathered row by row."""

    def __init__(self) -> None:
        self._prompts: dict[str, RatedPrompt] = {}

    def add(self, answer: Answer, rating: Rating, place: Place) -> None:
        key = stable_id("p", answer.prompt)
        self._prompts.setdefault(key, RatedPrompt(answer.prompt)).answers.append((answer, rating, place))

    def sets(
        self, dropped: Counter[str], by_rank: bool
    ) -> Iterator[tuple[list[Message], list[dict[str, Any]], Place, bool]]:
        """Prompts with at least two answers that are rated apart, ranked; where the first of them is, and whether the
        best is good enough to be imitated."""
        least = self._least(by_rank)
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

    def imitable(
        self, dropped: Counter[str], by_rank: bool, but: Collection[str] = ()
    ) -> Iterator[tuple[Answer, Place]]:
        """The answers that may be imitated: all that a label calls good; of rated ones the best to each prompt, if its
        rating is in the upper half of the scale (`by_rank`: if it has the first rank). Prompts whose ids are in `but`
        are passed over."""
        least = self._least(by_rank)
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
                    dropped["answer that its label calls bad"] += 1
                elif rating.value is None and rating.good is None:
                    dropped["answer without a rating"] += 1
                elif rating.value is None:
                    yield answer, place
                elif rating.value < least:
                    dropped["answer rated low"] += 1
                elif rating.value != best or taken:
                    dropped["answer that is not the best of its prompt"] += 1
                else:
                    taken = True
                    yield answer, place

    def _least(self, by_rank: bool) -> float:
        values = [r.value for known in self._prompts.values() for _, r, _ in known.answers if r.value is not None]
        return max(values, default=0.0) if by_rank else lowest_good(values)


def _order(rating: Rating) -> float | None:
    """What ranks an answer: its rating, one that is called bad below all others."""
    if rating.value is None:
        return None if rating.good is None else float(rating.good)
    return rating.value - (1e9 if rating.good is False else 0.0)


def lowest_good(values: Sequence[float], *, unbounded: bool = True) -> float:
    """The lowest rating that may be imitated: above the middle of the scale that the ratings fit (0–1, 0–4, 1–5, 1–10,
    1–100). Ratings that fit none, such as rewards, are halved at their median (`unbounded`), or all may be."""
    if not values:
        return float("-inf")
    top = next((top for top in _SCALES if max(values) <= top), None)
    if min(values) < 0 or top is None:
        return statistics.median(values) if unbounded else float("-inf")
    if top == 1:
        return 1.0 if set(values) <= {0.0, 1.0} else 0.5
    low = 0.0 if 0.0 in values or top == 4 else 1.0
    return (low + top) / 2 + 1e-9
