"""The child process that looks at the user's models before anything is made: `python -m judgeloop.run.check_players RUN
MODEL/STAGE …`, with the steps in which they play a role."""

from __future__ import annotations

import sys

from judgeloop.run.child import in_run
from judgeloop.stages.players import check_players


def main(run_path: str, *names: str) -> int:
    """Check them; return the exit code."""
    return in_run(run_path, lambda run, _: check_players(run, [run.steps[name] for name in names]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
