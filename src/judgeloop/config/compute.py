"""On how many processes training runs, and on which cluster the work is spread."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from judgeloop.config.section import Section

_ADDRESS = re.compile(r"(ray://)?[^\s/:]+:\d+|(ray://)\[[0-9a-f:]+\]:\d+")


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

    cluster: str | None = Field(
        None,
        description="a Ray cluster that generates, judges and trains: auto (the one that this machine belongs to), its "
        "address (HOST:6379, or ray://HOST:10001), or local (Ray on this machine alone); null: no Ray",
    )
    engines: Annotated[int | None, Field(gt=0)] = Field(
        None,
        description="with cluster: engines at work at once; null: as many as its machines have room for. Without one, "
        "several engines on a machine's GPUs are engine.vllm.engines",
    )
    gpus_per_engine: Annotated[int | None, Field(ge=0)] = Field(
        None, description="with cluster: GPUs of each engine; null: 1 if the cluster has any, else 0"
    )
    cpus_per_engine: Annotated[int | None, Field(gt=0)] = Field(
        None,
        description="with cluster: CPUs reserved for each engine; null: 1 with GPUs, else `threads`, or "
        "all of a machine",
    )
    resources: dict[str, float] = Field(
        default_factory=dict,
        description="with cluster: Ray's custom resources that an engine or a training process needs, such as a kind "
        "of machine: {h100: 1}",
    )
    wait_minutes: float = Field(
        10,
        ge=0,
        description="with cluster: how long a run waits, and says so, for machines with room for an engine or for the "
        "processes of a training, while a cluster that scales itself starts them; then it ends with what to do",
    )
    local_cache: str | None = Field(
        None,
        description="with cluster: folder on each machine's own disk, to which a model is copied once before engines "
        "load it; null: they load it from the run directory",
    )

    @field_validator("cluster")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and value not in ("auto", "local") and not _ADDRESS.fullmatch(value):
            raise ValueError(
                f"'{value}' is no address of a Ray cluster; write local, auto, HOST:PORT or ray://HOST:PORT"
            )
        return value

    @model_validator(mode="after")
    def _only_parts_are_offloaded(self) -> ComputeSection:
        if self.offload and self.sharding == "none":
            raise ValueError(
                "compute.offload: moves the parts of a sharded model; set compute.sharding: fsdp, or false"
            )
        return self
