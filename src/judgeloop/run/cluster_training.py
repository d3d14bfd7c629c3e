"""A stage that trains, on a Ray cluster: `python -m judgeloop.run.cluster_training RUN MODEL/STAGE`. Ray Train starts a
worker for each process of the training, on whichever machines have room, and joins them into a process group; in it our
trainers work as in a group that torchrun made. If a worker or its machine is lost, all are started again and go on from
the training's last checkpoint.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

from judgeloop.compute.cluster import connect, connection_watched
from judgeloop.compute.cluster_room import WAITS, Patience, training_lacks, training_needs
from judgeloop.compute.local import ChildReport
from judgeloop.config import ComputeSection
from judgeloop.errors import JudgeloopError, StageFailed
from judgeloop.run.child import in_run
from judgeloop.run.directory import RunDirectory, open_run
from judgeloop.run.methods import steps_of
from judgeloop.stages.carry_out import help_stage, run_stage
from judgeloop.stages.context import Context
from judgeloop.training import distributed

_PATIENCE = 14 * 24 * 3600  # seconds; a worker that dies ends all the others by itself
_PAUSE = 0.3  # seconds between two looks for what the first worker reports
_LOOKS = 10  # of these between two looks at the machines
_STARTING = 5.0  # minutes that processes may take to start on machines that have room
_TRY = 60  # seconds after which Ray Train asks for room for its workers once more


class Mailbox:
    """A Ray actor through which workers tell the driver how far they are, and why they fail."""

    def __init__(self) -> None:
        self._progress: tuple[int, int | None, str] | None = None
        self._error: JudgeloopError | None = None
        self._begun = False

    def begin(self) -> JudgeloopError | None:
        """A worker has started. Returns why an earlier one failed, if that had a reason: it would fail again."""
        self._begun = True
        return self._error

    def progress(self, done: int, total: int | None, note: str) -> None:
        self._progress = (done, total, note)

    def failed(self, error: JudgeloopError) -> None:
        self._error = self._error or error

    def read(self) -> tuple[tuple[int, int | None, str] | None, JudgeloopError | None, bool]:
        """What the first worker last said since it was read, why a worker failed, and whether any has started."""
        found, self._progress = self._progress, None
        return found, self._error, self._begun


def main(run_path: str, name: str) -> int:
    """Run the step on the cluster; return the exit code."""

    def step(run: RunDirectory, report: ChildReport) -> None:
        with connection_watched(run.config.compute):
            connect(run.config.compute)
            _train(run, name, report)

    return in_run(run_path, step)


def _train(run: RunDirectory, name: str, report: ChildReport) -> None:
    os.environ["TRAIN_ENABLE_SHARE_CUDA_VISIBLE_DEVICES"] = "0"  # each worker sees its own GPU, as under torchrun
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(_TRY)
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    compute = run.config.compute
    needs = training_needs(compute)
    gpus = "GPU" in needs
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # as the driver is
    mailbox: Any = ray.remote(num_cpus=0, scheduling_strategy=here)(Mailbox).remote()
    with tempfile.TemporaryDirectory() as storage, _Reading(mailbox, report, compute) as reading:
        trainer = TorchTrainer(
            _work,
            train_loop_config={"run": str(run.path.resolve()), "step": name, "mailbox": mailbox},
            scaling_config=ScalingConfig(num_workers=compute.processes, use_gpu=gpus, resources_per_worker=needs),
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpus else "gloo", timeout_s=_PATIENCE),
            run_config=RunConfig(
                name="judgeloop",
                storage_path=storage,
                failure_config=FailureConfig(
                    max_failures=compute.restarts, controller_failure_limit=1 + int(60 * compute.wait_minutes / _TRY)
                ),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:
            reading.look()
            if reading.error is not None:
                raise reading.error from None
            last = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise StageFailed(
                f"a training of {compute.processes} processes on the cluster failed ({last}); run the same command "
                "again to go on"
            ) from error


def _work(given: dict[str, Any]) -> None:
    """What each of Ray Train's workers does: its share of the step."""
    import ray
    from ray.train import get_context

    mailbox, where = given["mailbox"], get_context()
    failed = ray.get(mailbox.begin.remote())
    if failed is not None:
        raise failed
    distributed.take_place(
        where.get_world_rank(), where.get_world_size(), where.get_local_rank(), where.get_local_world_size()
    )
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    try:
        path = Path(given["run"])
        config, facts = open_run(path)
        run = RunDirectory(path, config, steps_of(facts["method"], config, path))
        context = Context(run, run.steps[given["step"]], lambda *said: mailbox.progress.remote(*said))
        compute = config.compute
        if distributed.processes() == 1:
            run_stage(context)
            return
        from judgeloop.training.collectives import from_main

        distributed.shard_weights(compute.sharding, offload=compute.offload)
        if distributed.is_main():
            run_stage(context, from_main)
        elif from_main(False):
            help_stage(context)
    except JudgeloopError as error:
        traceback.print_exc()
        ray.get(mailbox.failed.remote(error))
        raise


class _Reading:
    """Within it what comes into the mailbox is handed on to the driver's report, and so is what the training waits for;
    if that takes too long, the training has failed."""

    def __init__(self, mailbox: Any, report: ChildReport, compute: ComputeSection) -> None:
        self.error: JudgeloopError | None = None
        self._mailbox = mailbox
        self._report = report
        self._compute = compute
        self._patience = Patience(compute.wait_minutes)
        self._starting = Patience(max(_STARTING, compute.wait_minutes))
        self._begun = False
        self._told = ""
        self._last: tuple[int, int | None] = (0, None)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="mailbox")

    def __enter__(self) -> _Reading:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=5)

    def look(self) -> None:
        import ray

        progress, error, self._begun = ray.get(self._mailbox.read.remote())
        self.error = self.error or error
        if progress is not None:
            self._last = progress[:2]
            self._report.progress(*progress)

    def _follow(self) -> None:
        looks = 0
        while not self._over.wait(_PAUSE):
            self.look()
            looks += 1
            if looks % _LOOKS == 0:
                self._look_for_room()

    def _look_for_room(self) -> None:
        """Ray Train would wait for ever, and say nothing."""
        lacks, patience, says = training_lacks(self._compute), self._patience, WAITS
        if not lacks:
            patience.satisfied()
            if self._begun:
                self._told = ""
                return
            lacks = "compute.cluster: no process of the training has started; another program may hold the machines"
            patience, says = self._starting, "its processes start"
        if lacks != self._told:
            self._told = lacks
            print(f"{lacks}; the training waits", file=sys.stderr, flush=True)
        if patience.over():
            failure = (
                f"{lacks} (waited {patience.minutes:g} min, compute.wait_minutes); then run the same command again"
            )
            self._report.failed(StageFailed(f"{failure} to go on"))
        else:
            self._report.progress(*self._last, f"{says}, {patience.waited()}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
