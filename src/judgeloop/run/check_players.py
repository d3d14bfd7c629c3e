"""The child process that looks at the user's models before anything is made: `python -m judgeloop.run.check_players RUN
MODEL/STAGE …`, with the steps in which they play a role."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from judgeloop.compute.local import ChildReport, die_with_parent
from judgeloop.errors import JudgeloopError
from judgeloop.run.directory import RunDirectory, open_run
from judgeloop.run.methods import METHODS
from judgeloop.stages.players import check_players


def main(run_path: str, *names: str) -> int:
    """Check them; return the exit code."""
    die_with_parent()
    report = ChildReport()
    try:
        config, facts = open_run(Path(run_path))
        run = RunDirectory(Path(run_path), config, METHODS[facts["method"]](config))
        check_players(run, [run.steps[name] for name in names])
    except JudgeloopError as error:
        traceback.print_exc()
        report.failed(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
