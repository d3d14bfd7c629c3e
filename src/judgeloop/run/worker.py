"""The child process of one heavy stage: `python -m judgeloop.run.worker RUN MODEL/STAGE`, or one of several if torchrun
says so. Without a stage, rank 0 tells the others that the run is over, and they wait to be told what to train."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

from judgeloop.compute.cluster import connection_watched
from judgeloop.compute.cluster_engine import engines_account
from judgeloop.compute.local import ChildReport, die_with_parent, die_with_parent_at_once
from judgeloop.models.hardware import has_driver
from judgeloop.run.child import in_run
from judgeloop.run.directory import RunDirectory
from judgeloop.stages.carry_out import help_stage, run_stage
from judgeloop.stages.context import Context, Progress
from judgeloop.training import distributed

_PAUSE = 5.0  # seconds between two accounts of the cluster's engines
OVER = "over"  # what a process says whose rank 0 has no training left


def main(run_path: str, name: str = "") -> int:
    """Run the step, or this process's share of it; return the exit code."""
    distributed.take_over()
    if distributed.processes() > 1:
        name = _meet(name)
        if not name:
            if not distributed.is_main():
                ChildReport().send({OVER: True})
            return 0

    def step(run: RunDirectory, report: ChildReport) -> None:
        if run.config.compute.cluster is not None:
            with connection_watched(run.config.compute), _with_engines(report) as progress:
                run_stage(Context(run, run.steps[name], progress))
            return
        context = Context(run, run.steps[name], report.progress)
        if distributed.processes() == 1:
            run_stage(context)
            return
        from judgeloop.training.collectives import from_main

        compute = run.config.compute
        distributed.shard_weights(compute.sharding, offload=compute.offload)
        if distributed.is_main():
            run_stage(context, from_main)
        elif from_main(False):
            help_stage(context)

    return in_run(run_path, step)


@contextlib.contextmanager
def _with_engines(report: ChildReport) -> Iterator[Progress]:
    """Within it progress is told with an account of the cluster's engines, also while no row comes."""
    last: tuple[int, int | None, str] = (0, None, "")
    over = threading.Event()

    def progress(done: int, total: int | None, note: str) -> None:
        nonlocal last
        last = (done, total, note)
        report.progress(done, total, ", ".join(filter(None, (note, engines_account()))))

    def tell() -> None:
        while not over.wait(_PAUSE):
            if engines_account():
                progress(*last)

    thread = threading.Thread(target=tell, daemon=True, name="engines")
    thread.start()
    try:
        yield progress
    finally:
        over.set()
        thread.join()


def _meet(name: str) -> str:
    die_with_parent_at_once()
    die_with_parent()
    if has_driver():
        distributed.see_one_gpu()
    from judgeloop.training.collectives import join

    return join(name)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
