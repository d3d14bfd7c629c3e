"""The seed: where M1 comes from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from judgeloop.config.judging import JudgeSamplingSection
from judgeloop.config.refresh import EftContrastSection
from judgeloop.config.section import NameOrPath, Paths, Section


class EftSection(Section):
    """How evaluation fine-tuning rows (judge prompt → judgement) are made from ranked responses, or without them."""

    source: Literal["ranks", "written", "contrast"] = Field(
        "ranks",
        description="ranks: the ranks become scores, with a template justification; written: a model writes "
        "justification and score, a set is kept where its scores order the responses as the ranks do (the paper's "
        "way); contrast: a model answers the seed's instructions and judges each answer under its own and under "
        "another instruction, no ranks needed",
    )
    writer: NameOrPath = Field(
        "sft",
        description="who writes (source: written, contrast): sft (trained on the IFT rows alone, the paper's way), M0, "
        "or a model folder or hub id",
    )
    samples: int = Field(
        3,
        gt=0,
        description="judgements written for each response (source: written), or answers to each instruction (contrast)",
    )
    ties: Literal["strict", "lenient"] = Field(
        "strict",
        description="strict: responses that are ranked apart must have different scores; lenient: they may tie, but "
        "neither be reversed nor all tie (source: written)",
    )
    examples: int = Field(
        0, ge=0, le=4, description="worked judgements the writer is shown before it writes: help for small writers"
    )
    score: Literal["written", "drawn"] = Field(
        "written",
        description="written: the score is in the writer's text; drawn: its justification is written, then the "
        "score is drawn from its probabilities after the score line: every text has a score (source: written)",
    )
    opening: str = Field(
        "",
        description="words that each justification begins with, such as 'The response': a small writer then judges the "
        "response rather than answer the user (score: drawn)",
    )
    sampling: JudgeSamplingSection = Field(default_factory=JudgeSamplingSection)
    contrast: EftContrastSection = Field(default_factory=EftContrastSection)
    max_rows: int | None = Field(None, gt=0, description="at most this many EFT rows; null: all")
    max_share: float = Field(
        1.0, gt=0, le=1, description="no score holds more than this share of the rows; the surplus is dropped, counted"
    )
    ift_overlap: bool = Field(
        False, description="may an instruction serve both IFT and EFT? The paper keeps them apart; tiny seeds cannot"
    )

    @model_validator(mode="after")
    def _opening_is_used(self) -> EftSection:
        if self.opening and self.score == "written":
            raise ValueError("opening is for drawn scores alone; set score: drawn, or remove it")
        return self


class SeedSection(Section):
    """Where M1 comes from: instructions with responses (IFT), and ranked responses (EFT, held-out agreement)."""

    ift: Paths = Field(
        (), description="files of instructions with a response: chat messages, prompt/response, Alpaca, …"
    )
    ranked: Paths = Field((), description="files with several ranked responses a prompt, or Open Assistant trees")
    eft_files: Paths = Field(
        (), description="files of EFT rows that are made already (judge prompt, judgement), used as they are"
    )
    turns: Literal["first", "all"] = Field("first", description="Open Assistant trees: first turns only, or every turn")
    lang: str | None = Field("en", description="Open Assistant trees: keep this language; null keeps all")
    fields: dict[str, str | None] = Field(
        {},
        description="which column says what, for files whose names are not known: {prompt: question_text, chosen: "
        "best, rejected: other}; null: no column says this (docs/data.md lists the roles)",
    )
    thoughts: Literal["leave_out", "train"] = Field(
        "leave_out",
        description="thoughts before an answer (reasoning_content, <think>): leave_out, or train on them before it",
    )
    held_out_share: float = Field(
        0.25, ge=0, le=1, description="share of ranked prompts kept for evaluation only; 1: all of them"
    )
    eft_share: float = Field(
        0.5, ge=0, le=1, description="share of the remaining ranked prompts used for EFT, the others' best go to IFT"
    )
    near_duplicate: float = Field(
        0.7,
        gt=0,
        le=1,
        description="prompts with a higher ROUGE-L F count as the same: they stay in one part (IFT, EFT, held out); 1: "
        "equal texts alone do",
    )
    max_ift_rows: int | None = Field(None, gt=0, description="at most this many IFT rows; null: all")
    eft: EftSection = Field(default_factory=EftSection)

    @model_validator(mode="after")
    def _rows_are_made_of_something(self) -> SeedSection:
        if self.eft.source == "written" and not self.ranked:
            raise ValueError("eft.source is 'written' but ranked names no file whose responses could be judged")
        if self.eft.source == "contrast" and not self.ift and not self.ranked:
            raise ValueError("eft.source is 'contrast' but neither ift nor ranked names a file of instructions")
        return self
