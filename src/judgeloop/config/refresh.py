"""EFT rows without truth: a model's answers to their own prompts against the same answers set beside others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from judgeloop.config.section import AS_BEFORE, Section


class ContrastRowsSection(Section):
    """Which answers make EFT rows, and what these teach. Scores here are on the rubric's own scale."""

    draw: Annotated[Literal["subject", "near", "random"], AS_BEFORE] = Field(
        "subject",
        description="the other prompt that an answer is set beside: subject, one that shares a rare word with its own, "
        "so that the demand has to be read; near, the nearest in wording (of prompts of one pattern, one with the same "
        "demand and another subject); random: blindly",
    )
    max_similarity: Annotated[float, AS_BEFORE] = Field(
        0.9,
        ge=0,
        le=1,
        description="no answer is set beside a prompt that is nearer to its own in wording (ROUGE-L F): it may be as "
        "right there; 1: only not beside an equal one",
    )
    per_prompt: Annotated[int, AS_BEFORE] = Field(
        1,
        gt=0,
        description="answers to each prompt that are used, the highest scores first, each beside another prompt",
    )
    min_score: Annotated[float, AS_BEFORE] = Field(
        3.0, ge=0, description="an answer is used if it scores at least this under its own prompt"
    )
    min_gap: Annotated[float, AS_BEFORE] = Field(
        0.5,
        ge=0,
        description="and if its score under the other prompt is lower by more than this: the judge must see it itself",
    )
    negative_score: Annotated[int, AS_BEFORE] = Field(
        1,
        ge=0,
        description="score that is taught for an answer beside the other prompt, or, if judgements are written, the "
        "highest that a judgement of it may give to be taught; under its own prompt its own score is taught, rounded",
    )
    max_answers: Annotated[int | None, AS_BEFORE] = Field(
        None, gt=0, description="at most this many answers are used, of two rows each, drawn by the seed; null: all"
    )

    @model_validator(mode="after")
    def _right_is_above_wrong(self) -> ContrastRowsSection:
        if self.negative_score >= self.min_score:
            raise ValueError(
                f"negative_score ({self.negative_score}) is not below min_score ({self.min_score:g}), so an answer "
                "beside the wrong prompt would be taught the same; lower it"
            )
        return self


class RefreshSection(ContrastRowsSection):
    """The judge trained on its own policy's answers (in the manner of Self-Taught Evaluators, arXiv 2408.02666)."""

    enabled: Annotated[bool, AS_BEFORE] = Field(
        False,
        description="make EFT rows of each iteration's own answers, without truth, and train on them beside the pairs "
        "(train.refresh_replay)",
    )


class EftContrastSection(ContrastRowsSection):
    """EFT rows from the writer's answers to the seed's own instructions (source: contrast)."""

    max_prompts: Annotated[int | None, AS_BEFORE] = Field(
        None, gt=0, description="instructions of the seed that are answered at most, drawn by the seed; null: all"
    )
