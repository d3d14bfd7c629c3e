"""MLflow: where MLFLOW_TRACKING_URI says, else its own default, a file of the working directory."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from judgeloop.tracking.base import Table, TrackedRun, Tracker, TrackerKind, quietly

_PARAMS = 100  # that one request may have
_LONGEST = 500  # characters of a param that every store takes


class _Mlflow:
    def __init__(self, run: TrackedRun, handle: str | None) -> None:
        quietly(MLFLOW_DISABLE_TELEMETRY="true")
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table it makes
        import mlflow
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

        self._metric: Any = Metric
        self._client: Any = mlflow.MlflowClient()
        self.where = f"mlflow ui --backend-store-uri {mlflow.get_tracking_uri()}"
        if handle is not None:
            try:
                self._client.get_run(handle)
            except MlflowException:
                handle = None  # another store than before
        if handle is None:
            found = self._client.get_experiment_by_name(run.project)
            experiment = self._client.create_experiment(run.project) if found is None else found.experiment_id
            handle = self._client.create_run(experiment, run_name=run.name, tags={"judgeloop.run": run.id}).info.run_id
            params = [Param(name, str(value)[:_LONGEST]) for name, value in _leaves(run.config)]
            for start in range(0, len(params), _PARAMS):
                self._client.log_batch(handle, params=params[start : start + _PARAMS])
        else:
            self._client.update_run(handle, status="RUNNING")
        self.handle = str(handle)

    def numbers(self, axis: str, at: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        found = [self._metric(_allowed(name), value, now, at) for name, value in values.items()]
        self._client.log_batch(self.handle, metrics=found)

    def table(self, table: Table) -> None:
        columns = {name: [row[k] for row in table.rows] for k, name in enumerate(table.columns)}
        self._client.log_table(self.handle, columns, f"{_allowed(table.name)}.json")

    def text(self, name: str, text: str) -> None:
        self._client.log_text(self.handle, text, f"{_allowed(name)}.txt")

    def close(self, *, finished: bool) -> None:
        self._client.set_terminated(self.handle, "FINISHED" if finished else "KILLED")


def _allowed(name: str) -> str:
    """Users' measures have names of their own; MLflow takes letters, digits and a few signs."""
    return re.sub(r"[^\w./ -]", "_", name)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _open(run: TrackedRun, handle: str | None) -> Tracker:
    return _Mlflow(run, handle)


MLFLOW = TrackerKind("mlflow", _open)
