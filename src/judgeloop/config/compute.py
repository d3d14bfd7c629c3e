"""On how many processes training runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from judgeloop.config.section import Section


class ComputeSection(Section):
    """How the machine is used. Changes speed and memory, not what is made."""

    processes: int = Field(
        1,
        gt=0,
        description="processes that train together, each with a share of every batch: as many as GPUs to use; "
        "1 on a CPU",
    )
    sharding: Literal["none", "fsdp"] = Field(
        "none",
        description="none: each process holds the whole model; fsdp: weights, gradients and optimiser state are spread "
        "over the processes, for models too large for one GPU (not with method: qlora)",
    )

    @model_validator(mode="after")
    def _shards_need_processes(self) -> ComputeSection:
        if self.sharding != "none" and self.processes == 1:
            raise ValueError("compute.sharding: fsdp needs compute.processes of 2 or more; raise it, or set none")
        return self
