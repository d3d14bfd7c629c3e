"""The seed: where M1 comes from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from judgeloop.config.section import Paths, Section


class EftSection(Section):
    """How evaluation fine-tuning rows (judge prompt → judgement) are made from ranked responses."""

    max_rows: int | None = Field(None, gt=0, description="at most this many EFT rows; null: all")
    max_share: float = Field(
        1.0, gt=0, le=1, description="no score holds more than this share of the rows; the surplus is dropped, counted"
    )
    ift_overlap: bool = Field(
        False, description="may an instruction serve both IFT and EFT? The paper keeps them apart; tiny seeds cannot"
    )


class SeedSection(Section):
    """Where M1 comes from: instructions with responses (IFT), and ranked responses (EFT, held-out agreement)."""

    ift: Paths = Field((), description="JSONL files of chat messages or prompt/response rows")
    ranked: Paths = Field((), description="files with several ranked responses a prompt, or Open Assistant trees")
    turns: Literal["first", "all"] = Field("first", description="Open Assistant trees: first turns only, or every turn")
    lang: str | None = Field("en", description="Open Assistant trees: keep this language; null keeps all")
    held_out_share: float = Field(0.25, ge=0, lt=1, description="share of ranked prompts kept for evaluation only")
    eft_share: float = Field(
        0.5, ge=0, le=1, description="share of the remaining ranked prompts used for EFT, the others' best go to IFT"
    )
    max_ift_rows: int | None = Field(None, gt=0, description="at most this many IFT rows; null: all")
    eft: EftSection = Field(default_factory=EftSection)
