"""The child process of one heavy stage: `python -m judgeloop.run.worker RUN MODEL/STAGE`."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from judgeloop.compute.local import ChildReport, die_with_parent
from judgeloop.compute.processes import other_processes
from judgeloop.errors import JudgeloopError
from judgeloop.run.directory import RunDirectory, open_run
from judgeloop.run.methods import steps_of
from judgeloop.stages.carry_out import help_stage, run_stage
from judgeloop.stages.context import Context
from judgeloop.training import distributed


def main(run_path: str, name: str) -> int:
    """Run the step; return the exit code. The parent holds the run's lock, and this process a copy of it."""
    die_with_parent()
    report = ChildReport()
    # Programs must not be asked about telemetry or reach for a hub when the model is a folder of this machine.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        config, facts = open_run(Path(run_path))
        steps = steps_of(facts["method"], config, Path(run_path))
        run = RunDirectory(Path(run_path), config, steps)
        context = Context(run, run.steps[name], report.progress)
        if not distributed.is_main():
            help_stage(context)
        elif config.compute.processes > 1 and context.step.stage.trains is not None:
            sharded = config.compute.sharding == "fsdp"
            count, arguments = config.compute.processes, [run_path, name]
            run_stage(context, lambda: other_processes(count, arguments, config.threads, sharded=sharded))
        else:
            run_stage(context)
    except JudgeloopError as error:
        traceback.print_exc()
        report.failed(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
