"""What a run shows of its rows while it goes: a few samples, drawn by the run's seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from judgeloop.records import Message, derive_seed


@dataclass(frozen=True, slots=True)
class Answer:
    """A response in a sample. `label` says what it is ("answer", "chosen"). `score` is None if the judge gave none that
    could be read, or, unless it is `judged`, none at all. `measures` is what the user's own code says of it."""

    label: str
    text: str
    score: float | None = None
    judged: bool = True
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt with one or several responses."""

    prompt: str
    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples under one `title`; `judge` gave the scores, on a `scale` from lowest to highest. `measured`: metrics of
    the model that answered, as eval.json and checks.json have them, to be said before its answers."""

    title: str
    samples: Sequence[Sample]
    judge: str | None = None
    scale: tuple[int, int] | None = None
    measured: Sequence[Mapping[str, Any]] = ()


def draw(names: Iterable[str], seed: int, count: int) -> list[str]:
    """Up to `count` of the names (of prompts, of pairs), at random: in an order that the seed gives, whatever the
    others are. So the models of a run are shown at the same prompts."""
    return sorted(set(names), key=lambda name: derive_seed(seed, "samples", name))[:count]


def last_turn(messages: Sequence[Message]) -> str:
    """What a prompt asks in its last turn, and how many messages were before it."""
    if not messages:
        return ""
    before, last = len(messages) - 1, str(messages[-1].get("content", ""))
    return f"(after {before} message{'s' if before > 1 else ''}) {last}" if before else last
