"""What a stage will have to do, in the units that its time and memory are made of: rows, tokens, loaded models.

Each stage's `cost` (stages/costs.py) says it from the config and the sizes of the seed; `forecast.estimate` turns it
into seconds and bytes by what this machine was measured to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from judgeloop.config import Config

Kind = Literal["read", "write", "score", "train", "refer"]
Role = Literal["policy", "judge", "prompter", "anchor", "writer", "before"]


@dataclass(frozen=True, slots=True)
class Range:
    """A quantity that is not known yet: the least, what is expected, and the most."""

    low: float = 0.0
    expected: float = 0.0
    high: float = 0.0

    @classmethod
    def exactly(cls, value: float) -> Range:
        return cls(value, value, value)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, factor: Range | float) -> Range:
        by = factor if isinstance(factor, Range) else Range.exactly(factor)
        return Range(self.low * by.low, self.expected * by.expected, self.high * by.high)

    def at_most(self, bound: float) -> Range:
        return Range(min(self.low, bound), min(self.expected, bound), min(self.high, bound))

    def map(self, function: Callable[[float], float]) -> Range:
        """The function of each of the three; it must not fall."""
        return Range(function(self.low), function(self.expected), function(self.high))

    def __bool__(self) -> bool:
        return self.high > 0

    def as_dict(self, digits: int | None = None) -> dict[str, float | int]:
        values = {"low": self.low, "expected": self.expected, "high": self.high}
        return {name: round(value, digits) for name, value in values.items()}


NOTHING = Range()


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens that a model goes over. `read`: prompts before an answer; `write`: generated; `score`: read for expected
    scores; `train`: forward and backward; `refer`: the reference's forward. A token that several sequences of a batch
    begin with counts once where the code computes it once. `role` says whose model it is."""

    kind: Kind
    tokens: Range
    role: str = "policy"


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests to an endpoint, and the tokens of prompts and answers by this run's own tokenizer."""

    requests: Range = NOTHING
    sent: Range = NOTHING
    received: Range = NOTHING

    def __add__(self, other: Asked) -> Asked:
        return Asked(self.requests + other.requests, self.sent + other.sent, self.received + other.received)


@dataclass(frozen=True, slots=True)
class Work:
    """`rows` that it makes, its `parts`, what it asks an endpoint, `seconds` of what no model does. `loads`: how many
    times a model is loaded. `steps` of a training, and the most tokens of one backward. `text`: tokens in the rows it
    leaves on the disk. `unknown`: what of its cost cannot be known before, in words."""

    rows: Range = NOTHING
    parts: tuple[Part, ...] = ()
    asked: Asked = field(default_factory=Asked)
    seconds: Range = NOTHING
    loads: int = 0
    steps: Range = NOTHING
    step_tokens: float = 0.0
    text: Range = NOTHING
    unknown: str | None = None

    def tokens(self, kind: Kind) -> Range:
        return sum((part.tokens for part in self.parts if part.kind == kind), NOTHING)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The seed and the prompts in numbers, read for real. Counts are rows; lengths are tokens of the model's tokenizer
    with its chat template, means over a sample. `answers` are lengths of the seed's responses, sorted: what the model
    learns to write. `lead` is what all rendered prompts begin with, `judge_lead` what all judge prompts begin with.
    `*_new`: what one more judgement brings to a token tree of those of the same kind."""

    ift: int = 0
    eft: int = 0
    eft_sets: int = 0
    held_out: int = 0
    held_out_responses: int = 0
    prompt_rows: int | None = None
    evaluated: int = 0
    ifeval: int = 0
    segments: int = 0
    seed_prompt: float = 0.0
    answers: tuple[int, ...] = ()
    prompt: float = 0.0
    evaluation_prompt: float = 0.0
    lead: float = 0.0
    judge_prompt: float = 0.0
    judge_lead: float = 0.0
    judge_new: float = 0.0
    held_out_new: float = 0.0
    eft_row: float = 0.0
    sft_sequences: int = 0
    sft_step: float = 0.0
    sft_largest: float = 0.0
    sft_text: float = 0.0

    def answer(self, most: int) -> Range:
        """Tokens of an answer that may have `most`: as long as the seed's are; at least half as long; at most as long
        as it may be, since a model before its training, or one that learnt to please, writes on."""
        if not self.answers:
            return Range(most / 8, most / 2, most)
        expected = sum(min(length + 1, most) for length in self.answers) / len(self.answers)
        return Range(expected / 2, expected, min(float(most), 2 * expected))


@dataclass(frozen=True, slots=True)
class Known:
    """What a stage's `cost` is given: the config, the sizes, the model it is for ("M2"), who plays which role (None: a
    model of the run; else a folder, or an endpoint's model as `openai:NAME`), and the work of the steps that it reads,
    by the names it reads them by."""

    config: Config
    sizes: Sizes
    model: str
    roles: Mapping[str, str | None]
    given: Mapping[str, Work]

    def rows(self, name: str) -> Range:
        """How many rows an input will have; none if the run has no such input."""
        return self.given[name].rows if name in self.given else NOTHING

    def endpoint(self, role: str) -> bool:
        return (self.roles.get(role) or "").startswith("openai:")

    def untrained(self) -> bool:
        """Whether the policy is M0, which answers as it pleases."""
        return self.model == "M0"
