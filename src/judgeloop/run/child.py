"""What every child process of a run does around its own work."""

from __future__ import annotations

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
    try:
        config, facts = open_run(Path(run_path))
        work(RunDirectory(Path(run_path), config, steps_of(facts["method"], config, Path(run_path))), report)
    except JudgeloopError as error:
        traceback.print_exc()
        report.failed(error)
        return error.exit_code
    return 0
