"""Before the first stage: `python -m judgeloop.run.check_cluster RUN` looks at every machine of the cluster."""

from __future__ import annotations

import sys
from pathlib import Path

from judgeloop.compute.cluster import check_machines, connect, share
from judgeloop.compute.local import ChildReport
from judgeloop.run.child import in_run
from judgeloop.run.directory import RunDirectory


def main(run_path: str) -> int:
    """Return the exit code; what is wrong with which machine is told to the driver."""

    def look(run: RunDirectory, report: ChildReport) -> None:
        config = run.config
        connect(config.compute)
        machines = check_machines(Path(run_path))
        found = share(config.compute, config.threads)
        report.progress(machines, machines, f"{machines} machines, {found.engines} engines")

    return in_run(run_path, look)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
