"""The child process that tries the user's checker before anything is made: `python -m judgeloop.run.check_checker RUN`.

What it imports only when it is called may be missing, and would be noticed after M1 is trained.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from judgeloop.data.readers import read_prompt_rows
from judgeloop.errors import InputError
from judgeloop.run.child import in_run
from judgeloop.run.directory import RunDirectory
from judgeloop.stages.ground_truth import load_checker

_SECONDS = 2.0
_RESPONSE = "This is a response."


def main(run_path: str) -> int:
    """Try it; return the exit code."""
    return in_run(run_path, lambda run, _: try_checker(run))


def try_checker(run: RunDirectory) -> None:
    """Call evaluation.checker on the evaluation's prompts, for two seconds at most. Raises InputError if it cannot be
    loaded, or lacks a module; what else it makes of a response that no model wrote is not its fault."""
    from judgeloop.evaluation.ground_truth import check_response

    section, begun = run.config.evaluation, time.monotonic()
    checker = load_checker(Path(str(section.checker)))
    for file in section.prompts:
        for place, row in read_prompt_rows(Path(file)).values():
            try:
                check_response(checker, row, _RESPONSE, finished=True, where=place.source)
            except InputError as error:
                if isinstance(error.__cause__, ImportError):
                    raise
            if time.monotonic() - begun > _SECONDS:
                return


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
