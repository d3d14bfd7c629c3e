"""The child process of one heavy stage: `python -m judgeloop.run.worker RUN MODEL/STAGE`."""

from __future__ import annotations

import sys

from judgeloop.compute.local import ChildReport
from judgeloop.compute.processes import other_processes
from judgeloop.run.child import in_run
from judgeloop.run.directory import RunDirectory
from judgeloop.stages.carry_out import help_stage, run_stage
from judgeloop.stages.context import Context
from judgeloop.training import distributed


def main(run_path: str, name: str) -> int:
    """Run the step; return the exit code."""

    def step(run: RunDirectory, report: ChildReport) -> None:
        compute, context = run.config.compute, Context(run, run.steps[name], report.progress)
        if not distributed.is_main():
            help_stage(context)
        elif compute.processes > 1 and context.step.stage.trains is not None:
            sharded, arguments, threads = compute.sharding == "fsdp", [run_path, name], run.config.threads
            run_stage(context, lambda: other_processes(compute.processes, arguments, threads, sharded=sharded))
        else:
            run_stage(context)

    return in_run(run_path, step)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
