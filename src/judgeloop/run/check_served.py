"""The child process that tries the server of engine.kind: server before anything is made: `python -m
judgeloop.run.check_served RUN`."""

from __future__ import annotations

import sys

from judgeloop.run.child import in_run
from judgeloop.stages.served import check_served


def main(run_path: str) -> int:
    """Try it; return the exit code."""
    return in_run(run_path, lambda run, _: check_served(run))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
