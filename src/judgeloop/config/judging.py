"""Candidates, how they are judged, and how judged candidates become preference pairs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from judgeloop.config.section import NameOrPath, SamplingSection, Section


class CandidatesSection(Section):
    """Responses to each new prompt."""

    count: int = Field(4, ge=2, description="N, responses a prompt")
    sampling: SamplingSection = Field(default_factory=SamplingSection)


class JudgeSamplingSection(SamplingSection):
    """How judgements are sampled."""

    max_new_tokens: int = Field(200, gt=0, description="tokens a judgement may have at most")


class JudgeSection(Section):
    """How the model judges responses."""

    rubric: NameOrPath = Field(
        "additive-5", description="a rubric that ships with judgeloop, or the path of a template file"
    )
    language: Literal["en", "zh"] = Field("en", description="language of the shipped rubric")
    scoring: Literal["sampled", "expected"] = Field(
        "expected", description="sampled: K written judgements, mean score; expected: mean over the score tokens"
    )
    justification: bool = Field(
        False, description="ask for a short justification before the score (needs scoring: sampled)"
    )
    samples: int = Field(3, gt=0, description="K, judgements a candidate (scoring: sampled)")
    sampling: JudgeSamplingSection = Field(default_factory=JudgeSamplingSection)
    min_valid: int = Field(1, gt=0, description="valid judgements a candidate needs (scoring: sampled)")
    min_mass: float = Field(
        0.5, ge=0, le=1, description="probability the score tokens need, or there is no score (scoring: expected)"
    )
    role: NameOrPath = Field("current", description="who judges: current, M0, M1, …, or the folder of a frozen model")

    @model_validator(mode="after")
    def _expected_has_no_text(self) -> JudgeSection:
        if self.scoring == "expected" and self.justification:
            raise ValueError("expected scoring reads the score directly; set justification: false or scoring: sampled")
        return self
