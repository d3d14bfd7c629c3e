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
        "1 on a CPU. If torchrun started the run, its own number counts",
    )
    restarts: int = Field(
        1,
        ge=0,
        description="how often the processes of a training are started again, from its last checkpoint, if one of them "
        "was killed or crashed",
    )
    sharding: Literal["none", "fsdp", "hsdp"] = Field(
        "none",
        description="none: each process holds the whole model; fsdp: weights, gradients and optimiser state are spread "
        "over the processes, for models too large for one GPU; hsdp: spread over the processes of each machine, a copy "
        "a machine (neither with method: qlora)",
    )
    offload: bool = Field(
        False, description="with sharding: the parts wait in host memory, where the optimiser works too; slower"
    )

    @model_validator(mode="after")
    def _only_parts_are_offloaded(self) -> ComputeSection:
        if self.offload and self.sharding == "none":
            raise ValueError(
                "compute.offload: moves the parts of a sharded model; set compute.sharding: fsdp, or false"
            )
        return self
