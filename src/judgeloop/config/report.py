"""How the report is written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from judgeloop.config.section import SPEED_ONLY, Section


class ReportSection(Section):
    """How report.html is written."""

    language: Annotated[Literal["en", "zh"], SPEED_ONLY] = Field(
        "en", description="language of the headings and messages; judge.language is that of the rubric"
    )
