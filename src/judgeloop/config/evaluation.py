"""What is measured on every model."""

from __future__ import annotations

from pydantic import Field

from judgeloop.config.section import NameOrPath, Paths, SamplingSection, Section


class EvaluationSection(Section):
    """What is measured on every model, on prompts that nothing was trained on."""

    prompts: Paths = Field((), description="JSONL with 'prompt' or 'messages'; null: the held-out seed prompts")
    count: int = Field(64, gt=0, description="held-out prompts used at most")
    samples: int = Field(2, gt=0, description="responses a prompt; with two or more, ties of the judge are seen")
    base: bool = Field(True, description="evaluate M0 too")
    sampling: SamplingSection = Field(default_factory=SamplingSection)
    judge: NameOrPath = Field("current", description="who judges the evaluation: current, M0, M1, …, or a model folder")
    bootstrap: int = Field(1000, gt=0, description="resamples of the intervals")
