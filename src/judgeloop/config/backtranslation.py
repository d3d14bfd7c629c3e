"""Instruction Backtranslation: instructions for texts the user has (docs/instructions.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from judgeloop.config.section import NameOrPath, Paths, SamplingSection, Section
from judgeloop.config.training import SftSection


class SegmentsSection(Section):
    """How texts are cut into segments, and which segments are used. Lengths count words in spaced scripts, characters
    in Chinese, Japanese and Korean."""

    min_words: int = Field(40, gt=0, description="drop shorter segments")
    target_words: int = Field(
        120, gt=0, description="a longer section is cut between paragraphs into pieces of at least this length"
    )
    max_words: int = Field(300, gt=0, description="drop longer segments; a section that fits is not cut")
    min_letters: float = Field(
        0.7, ge=0, le=1, description="drop a segment with a smaller share of letters among its characters but spaces"
    )
    max_capitals: float = Field(
        0.3, ge=0, le=1, description="drop a segment with a larger share of capitals among its letters"
    )
    max_overlap: float = Field(
        0.5, gt=0, le=1, description="drop a segment that shares more than this of its 5-grams with an earlier one"
    )
    max_count: int | None = Field(None, gt=0, description="use at most this many, drawn by the run's seed; null: all")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> SegmentsSection:
        if not self.min_words <= self.target_words <= self.max_words:
            raise ValueError("min_words, target_words and max_words must not decrease in this order")
        return self


class LabelSamplingSection(SamplingSection):
    """How the backward model writes instructions."""

    max_new_tokens: int = Field(96, gt=0, description="tokens an instruction may have at most")


class ScoreSamplingSection(SamplingSection):
    """How written scores are sampled."""

    max_new_tokens: int = Field(160, gt=0, description="tokens a reason with its score may have at most")


class CurationSection(Section):
    """How the forward model scores an instruction and its text from 1 to 5."""

    rubric: NameOrPath = Field(
        "curation-5-direct",
        description="a rubric that ships with judgeloop (with sampled scoring: curation-5), or the path of a template",
    )
    scoring: Literal["sampled", "expected", "likelihood"] = Field(
        "expected",
        description="sampled: written reasons and scores, as in the paper; expected: mean over the score tokens; "
        "likelihood: no rubric, how much the instruction raises the text's log-probability (very small models)",
    )
    samples: int = Field(1, gt=0, description="written scores a pair; their mean counts (scoring: sampled)")
    sampling: ScoreSamplingSection = Field(default_factory=ScoreSamplingSection)
    min_mass: float = Field(
        0.5, ge=0, le=1, description="probability the score tokens need, or there is no score (scoring: expected)"
    )


class BacktranslationSection(Section):
    """Instructions for texts that have none, by a model trained on reversed seed rows; the best pairs become IFT
    rows."""

    texts: Paths = Field(
        (), description="folders, or files: plain text, Markdown, HTML, JSONL, Parquet; none: no backtranslation"
    )
    text_key: str = Field("text", description="key or column with the text in JSONL and Parquet files")
    language: Literal["en", "zh"] = Field("en", description="language of templates, rubric and default system prompts")
    segments: SegmentsSection = Field(default_factory=SegmentsSection)
    samples: int = Field(2, gt=0, description="instructions written for each segment; at most one is kept")
    sampling: LabelSamplingSection = Field(default_factory=LabelSamplingSection)
    max_copied: float = Field(
        0.8, gt=0, le=1, description="drop an instruction with a larger share of words in 5-grams of its text"
    )
    curation: CurationSection = Field(default_factory=CurationSection)
    keep: Literal["top_share", "threshold"] = Field(
        "top_share", description="what decides: a place among the best, or a score (the paper's rule)"
    )
    threshold: float = Field(4.5, ge=1, le=5, description="lowest score that is kept (keep: threshold)")
    top_share: float = Field(0.2, gt=0, le=1, description="share of the scored segments kept (keep: top_share)")
    rounds: int = Field(2, ge=1, le=5, description="times the pairs are scored; before each but the first, retraining")
    seed_system_prompt: str | None = Field(
        None, description="system prompt of seed rows; null: one that asks for an assistant's style"
    )
    augmented_system_prompt: str | None = Field(
        None, description="system prompt of kept rows; null: one that asks for knowledge from the web"
    )
    sft: SftSection = Field(default_factory=SftSection)
    train: Literal["enlarge", "make", "nothing"] = Field(
        "enlarge",
        description="what kept rows do to M1: enlarge its seed; make it as the paper does, with seed rows under their "
        "system prompt; nothing: they are only written",
    )
    keep_models: bool = Field(
        True, description="keep the weights of backward and forward models; false: remove them after the last round"
    )

    @model_validator(mode="after")
    def _threshold_has_a_scale(self) -> BacktranslationSection:
        if self.keep == "threshold" and self.curation.scoring == "likelihood":
            raise ValueError("likelihood scores are not on the scale of a threshold; set keep: top_share")
        return self
