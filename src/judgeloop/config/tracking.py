"""What a run is called in the trackers of `report_to`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from judgeloop.config.section import SPEED_ONLY, Section


class TrackingSection(Section):
    """What a run is called in the trackers that `report_to` names (docs/tracking.md)."""

    project: Annotated[str, SPEED_ONLY] = Field(
        "judgeloop", min_length=1, description="project (wandb, trackio) or experiment (mlflow)"
    )
    name: Annotated[str | None, SPEED_ONLY] = Field(
        None, min_length=1, description="null: the run directory's name and six characters that no other directory has"
    )
