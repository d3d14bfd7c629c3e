"""Before the first stage: `python -m judgeloop.run.check_cluster RUN` looks at every machine of the cluster, and waits
for those that are missing."""

from __future__ import annotations

import sys
from pathlib import Path

from judgeloop.compute.cluster import check_machines, connect, engine_needs
from judgeloop.compute.cluster_room import engine_room, training_room
from judgeloop.compute.local import ChildReport
from judgeloop.run.child import in_run
from judgeloop.run.directory import RunDirectory


def main(run_path: str) -> int:
    """Return the exit code; what is wrong with which machine is told to the driver."""

    def look(run: RunDirectory, report: ChildReport) -> None:
        config = run.config
        compute = config.compute
        connect(compute)

        waited = []

        def tell(text: str) -> None:
            waited.append(text)
            report.progress(0, None, text)

        check_machines(Path(run_path))
        found = engine_room(compute, config.threads, tell)
        if any(step.stage.trains is not None and run.state(step) != "done" for step in run.steps.values()):
            judged = config.train.early_stopping.every is not None  # at its checkpoints, by an engine
            training_room(compute, tell, engine_needs(compute, config.threads) if judged else None)
        if waited:  # for machines that were not looked at
            check_machines(Path(run_path))
        if found.engines > found.room:
            tell(
                f"compute.engines: {found.engines} are asked for, and the cluster has room for {found.room} now; the "
                "others start as machines come"
            )

    return in_run(run_path, look)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
