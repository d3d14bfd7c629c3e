"""What is measured on every model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from judgeloop.config.choices import METRICS
from judgeloop.config.section import AS_BEFORE, NameOrPath, OptionalPath, Paths, SamplingSection, Section


class EvaluationSection(Section):
    """What is measured on every model, on prompts that nothing was trained on."""

    prompts: Paths = Field((), description="JSONL with 'prompt' or 'messages'; null: the held-out seed prompts")
    count: int = Field(64, gt=0, description="held-out prompts used at most")
    samples: int = Field(2, gt=0, description="responses a prompt; with two or more, ties of the judge are seen")
    judged: Annotated[int | None, AS_BEFORE] = Field(
        None,
        gt=0,
        description="responses a prompt that the judge scores, the first of them; null: all. Ground truth, length and "
        "win rates are measured as before; what is known of the judge rests on fewer",
    )
    base: bool = Field(True, description="evaluate M0 too")
    every: int = Field(
        1,
        gt=0,
        description="evaluate every n-th model only, always M1 and the last one: many small iterations become "
        "affordable; each is compared with the one evaluated before it",
    )
    sampling: SamplingSection = Field(default_factory=SamplingSection)
    judge: NameOrPath = Field(
        "current",
        description="who judges the evaluation: current, M0, M1, …, a model folder, or openai:NAME for a model of "
        "endpoint.url",
    )
    checker: OptionalPath = Field(
        None,
        description="a Python file whose check(prompt, response, finished) measures every held-out response: True, "
        "False, or a dict of names to numbers from 0 to 1; the first is the headline, and the judge never sees it; "
        "null: not measured",
    )
    compare: Literal["pairwise", "scores"] = Field(
        "pairwise",
        description="how a model's answers are set against those of the model before: pairwise, the judge compares two "
        "in both orders; scores, it scores each by itself (a small judge names the first answer whichever it is)",
    )
    contrast: Annotated[bool, AS_BEFORE] = Field(
        False,
        description="win rates by contrasts instead of scores (compare: scores), as judge.contrast has them, with "
        "other prompts of the evaluation; mean scores stay what they are",
    )
    metrics: Annotated[tuple[str, ...], METRICS] = Field(
        (), description="metrics measured besides the built-in ones, by name; left out: all that `plugins` register"
    )
    bootstrap: int = Field(1000, gt=0, description="resamples of the intervals")
    ifeval: OptionalPath = Field(
        None, description="prompts in IFEval's format, whose instructions a program can check; null: not measured"
    )
    ifeval_count: int | None = Field(None, gt=0, description="IFEval prompts used at most; null: all")
    ifeval_max_new_tokens: int = Field(512, gt=0, description="tokens a response to an IFEval prompt may have at most")
