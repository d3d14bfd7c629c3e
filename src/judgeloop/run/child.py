"""What every child process of a run does around its own work."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

from judgeloop.compute.local import ChildReport, die_with_parent
from judgeloop.errors import JudgeloopError
from judgeloop.run.directory import RunDirectory, open_run
from judgeloop.run.methods import steps_of


def in_run(run_path: str, work: Callable[[RunDirectory, ChildReport], None]) -> int:
    """Do a child's work in the run that the parent works in; tell the parent what went wrong, return the exit code. The
    parent holds the run's lock, and this process a copy of it."""
    die_with_parent()
    report = ChildReport()
    # Programs must not be asked about telemetry or reach for a hub when the model is a folder of this machine.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        config, facts = open_run(Path(run_path))
        work(RunDirectory(Path(run_path), config, steps_of(facts["method"], config, Path(run_path))), report)
    except JudgeloopError as error:
        traceback.print_exc()
        report.failed(error)
        return error.exit_code
    return 0
