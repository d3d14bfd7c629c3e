"""Candidates, how they are judged, and how judged candidates become preference pairs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from judgeloop.config.refresh import RefreshSection
from judgeloop.config.section import AS_BEFORE, NameOrPath, OptionalPath, SamplingSection, Section


class CandidatesSection(Section):
    """Responses to each new prompt."""

    count: int = Field(4, ge=2, description="N, responses a prompt")
    sampling: SamplingSection = Field(default_factory=SamplingSection)


class JudgeSamplingSection(SamplingSection):
    """How judgements are sampled."""

    max_new_tokens: int = Field(200, gt=0, description="tokens a judgement may have at most")


class MetaSection(Section):
    """The judge trained too (Meta-Rewarding): its judgements of one response compared with one another, the best and
    the worst of them made a preference pair."""

    enabled: bool = Field(False, description="make judge pairs and train on them beside the candidates' pairs")
    per_prompt: int = Field(
        1, gt=0, description="responses a prompt whose judgements are compared, least certain first"
    )
    max_judgements: int = Field(4, gt=1, description="judgements a response that are compared, each with each")
    max_pairs: int | None = Field(None, gt=0, description="at most this many judge pairs an iteration; null: all")
    max_characters: int | None = Field(
        None, gt=0, description="no longer judgement is chosen: long ones win too often; null: no bound"
    )


class ContrastSection(Section):
    """Scores set against other prompts: what a response would get whatever was asked is bias, not quality."""

    others: Annotated[int, AS_BEFORE] = Field(
        0,
        ge=0,
        description="k, other prompts of the iteration under which each response is judged too, the same ones for all "
        "responses to a prompt: (1 + k) times the judging; 0: off",
    )
    weight: Annotated[float, AS_BEFORE] = Field(
        0.75,
        ge=0,
        description="λ: a response's contrast is its own score - λ × the mean of its scores under the other prompts",
    )
    draw: Annotated[Literal["random", "near", "far"], AS_BEFORE] = Field(
        "random", description="which other prompts: drawn at random, the nearest in wording, or the least similar"
    )
    max_similarity: Annotated[float, AS_BEFORE] = Field(
        0.7,
        ge=0,
        le=1,
        description="no prompt is set against one that is nearer to it in wording (ROUGE-L F), since its response may "
        "be just as right there; 1: only against its equals",
    )
    floor: Annotated[float | None, AS_BEFORE] = Field(
        None,
        ge=0,
        description="a response whose own score is below this is never chosen, however much it stands out; null: none",
    )
    measure: Annotated[int, AS_BEFORE] = Field(
        0,
        ge=0,
        description="prompts of each judging and each evaluation whose responses are judged under one other prompt "
        "too, only to measure how blind to the prompt the judge is; with others above 0 candidates are in any case",
    )


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
        False,
        description="a short justification before the score: in EFT rows, and with scoring: expected written by the "
        "judge before the score is read",
    )
    samples: int = Field(3, gt=0, description="K, judgements a candidate (if they are written)")
    max_samples: int | None = Field(
        None,
        gt=0,
        description="K grows up to this if a prompt's best and worst candidate are tied or within noise; null: K stays "
        "as it is",
    )
    noise: float = Field(
        1.0, ge=0, description="within noise: best and worst differ by at most this many standard errors (max_samples)"
    )
    sampling: JudgeSamplingSection = Field(default_factory=JudgeSamplingSection)
    min_valid: int = Field(1, gt=0, description="valid judgements a candidate needs (scoring: sampled)")
    min_mass: float = Field(
        0.5,
        ge=0,
        le=1,
        description="probability that the scores need together, or there is no score (scoring: expected); the same "
        "for A and B if two responses are compared",
    )
    role: NameOrPath = Field(
        "current",
        description="who judges: current, M0, M1, …, the folder of a frozen model, or openai:NAME behind endpoint.url",
    )

    function: OptionalPath = Field(
        None,
        description="a Python file whose score(messages, response, finished) scores the candidates instead of a model, "
        "0-5 or None: a verifier, or an oracle to compare with; evaluation still asks the model",
    )
    meta: MetaSection = Field(default_factory=MetaSection)
    contrast: ContrastSection = Field(default_factory=ContrastSection)
    refresh: RefreshSection = Field(default_factory=RefreshSection)

    @model_validator(mode="after")
    def _fits_together(self) -> JudgeSection:
        written = self.scoring == "sampled" or self.justification
        if self.max_samples is not None and not written:
            raise ValueError(
                "max_samples needs written judgements, one expected score has no noise; remove it, or set "
                "scoring: sampled or justification: true"
            )
        if self.max_samples is not None and self.max_samples < self.samples:
            raise ValueError(f"max_samples ({self.max_samples}) is below samples ({self.samples}); raise it")
        if self.function is not None and self.contrast.others:
            raise ValueError(
                "contrast takes off what a model's scores owe to no prompt, and function is no model; set "
                "contrast.others: 0, or leave function out"
            )
        if self.refresh.enabled and self.function is not None:
            raise ValueError(
                "refresh teaches a model's judgements of its own answers, and function is no model; leave one of the "
                "two out"
            )
        if self.meta.enabled and self.function is not None:
            raise ValueError("meta compares a model's judgements, and function writes none; leave one of the two out")
        if self.meta.enabled and self.scoring != "sampled":
            raise ValueError("meta compares written judgements; set scoring: sampled, or meta.enabled: false")
        if self.meta.enabled and max(self.samples, self.max_samples or 0) < 2:
            raise ValueError("meta compares two judgements of one response; set samples to 2 or more")
        return self
