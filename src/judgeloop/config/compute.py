"""On how many processes training runs."""

from __future__ import annotations

from pydantic import Field

from judgeloop.config.section import Section


class ComputeSection(Section):
    """How the machine is used. Changes speed and memory, not what is made."""

    processes: int = Field(
        1,
        gt=0,
        description="processes that train together, each with the whole model and a share of every batch: as many as "
        "GPUs to use; 1 on a CPU",
    )
