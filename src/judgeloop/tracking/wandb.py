"""Weights & Biases: offline, in the run directory, unless WANDB_MODE or a WANDB_API_KEY says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from judgeloop.tracking.base import Table, TrackedRun, Tracker, TrackerKind, quietly


class _Wandb:
    def __init__(self, run: TrackedRun, handle: str | None) -> None:
        quietly(WANDB_ERROR_REPORTING="false", WANDB_SILENT="true")
        import wandb

        mode: Any = os.environ.get("WANDB_MODE") or ("online" if "WANDB_API_KEY" in os.environ else "offline")
        self._id, _, told = (handle or run.id).partition(" ")
        self._told = int(told or 0)
        self._wandb: Any = wandb
        self._run: Any = wandb.init(
            project=run.project, id=self._id, name=run.name, dir=str(run.folder), config=dict(run.config), mode=mode,
            resume="allow" if mode == "online" else None, save_code=False,
            settings=wandb.Settings(silent=True, console="off", disable_git=True),
        )  # fmt: skip
        self.where = self._run.url or f"offline; wandb sync --append {run.folder / 'wandb'}/offline-run-*"
        self._known: set[str] = set()

    @property
    def handle(self) -> str:
        """The id, and how many rows were told: offline, each part of a run that was resumed would count from 0, and the
        server leaves out rows that it has counted already."""
        return f"{self._id} {self._told}"

    def numbers(self, axis: str, at: int, values: Mapping[str, float]) -> None:
        for name in values.keys() - self._known:
            self._run.define_metric(name, step_metric=axis)
            self._known.add(name)
        self._log({**values, axis: at})

    def table(self, table: Table) -> None:
        self._log({table.name: self._wandb.Table(list(table.columns), [list(row) for row in table.rows])})

    def text(self, name: str, text: str) -> None:
        self._run.summary[name] = text

    def _log(self, values: Mapping[str, Any]) -> None:
        self._run.log(dict(values), step=self._told)
        self._told += 1

    def close(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


def _open(run: TrackedRun, handle: str | None) -> Tracker:
    return _Wandb(run, handle)


WANDB = TrackerKind("wandb", _open)
