"""The processes in which a run's steps and checks are carried out, and what is set for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from judgeloop.compute import allocator
from judgeloop.compute.forks import ForkServer
from judgeloop.compute.local import run_child
from judgeloop.compute.torchrun import command
from judgeloop.config import Config
from judgeloop.models.hardware import cores, has_driver
from judgeloop.run.directory import RunDirectory
from judgeloop.run.short_training import is_short
from judgeloop.run.stage import Display, Step
from judgeloop.stages.context import Context
from judgeloop.stages.shown import samples_of
from judgeloop.training import distributed

# What stages need that do not train, which is what takes long; TRL brings pyarrow, whose thread does not end at a fork.
IMPORTED_ONCE = (
    "judgeloop.run.child",
    "judgeloop.engines.transformers",
    "judgeloop.evaluation.measures",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.auto.modeling_auto",
    "transformers.modeling_utils",
    "transformers.generation",
)


def carry_out_in_child(run: RunDirectory, step: Step, display: Display, server: ForkServer) -> None:
    context = Context(run, step, display.progress)
    # What M0 and M1 write is worth seeing at once, what later models write when it is done.
    waiting = ["samples"] if step.model in ("M0", "M1") else []

    def show(event: Mapping[str, Any]) -> None:
        display.progress(int(event["done"]), event["total"], str(event.get("note", "")))
        if waiting and (samples := samples_of(context, finished=False)):
            waiting.clear()
            display.samples(step, samples)

    compute, trains = run.config.compute, step.stage.trains is not None
    several = trains and processes(run.config)[1] > 1
    ours = compute.processes if trains and distributed.processes() == 1 else 1
    # OpenVINO, which the judge of early stopping may be, ends a process with another allocator than the C library's.
    alone = compute.cluster is None and run.config.train.early_stopping.every is None
    worth = trains and alone and not has_driver() and not is_short(run, step)
    preload = allocator.preload() if worth else {}
    arguments = command(ours, compute.restarts, ["judgeloop.run.worker", str(run.path), step.name])
    if trains and compute.cluster is not None:
        arguments = ["judgeloop.run.cluster_training", str(run.path), step.name]
    run_child(
        arguments,
        run.path / "logs" / f"{step.model}.{step.label}.log",
        show,
        keep_open=[run.lock_fd] if run.lock_fd is not None else [],
        environment={**environment(run.config, trains=trains), **preload},
        # Each of several processes has threads and a device of its own, and a fork has its server's allocator.
        server=None if several or preload else server,
    )


def look(
    run: RunDirectory,
    server: ForkServer,
    module: str,
    *names: str,
    tell: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> None:
    """Carry out a check of `judgeloop.run` in a child, whose InputError is this process's."""
    run_child(
        [f"judgeloop.run.{module}", str(run.path), *names],
        run.path / "logs" / f"{module}.log",
        tell,
        environment=environment(run.config),
        server=server,
    )


def processes(config: Config) -> tuple[int, int]:
    """How many train on this machine, and on all."""
    if distributed.processes() > 1:
        return distributed.local_processes(), distributed.processes()
    return config.compute.processes, config.compute.processes


def environment(config: Config, *, trains: bool = False) -> dict[str, str]:
    """What is set for the child processes, before they import anything, beside what is set for this one. Programs must
    not be asked about telemetry or reach for a hub when the model is a folder of this machine. `trains`: they are
    torchrun's processes in this one's place, or torchrun's agent, and share the threads."""
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    own = {name: value for name, value in quiet.items() if name not in os.environ}
    threads = config.threads or cores()
    if trains:
        own |= distributed.variables()
        threads = max(1, threads // processes(config)[0])
    return {"OMP_NUM_THREADS": str(threads), **own}
