"""What a tracker of experiments is told about a run, and how one is declared. `choices.TRACKERS` names them all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from judgeloop.config.choices import TRACKERS
from judgeloop.errors import InputError


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run as a tracker knows it: `id` is this directory's own, `name` is shown, `config` is the whole tree."""

    id: str
    name: str
    project: str
    folder: Path
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to be read, such as samples: `name` is its place in the tracker, `at` the number of the model."""

    name: str
    at: int
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]


class Tracker(Protocol):
    """One run in one tracker. `handle` finds this run again when the run directory is resumed, and may change while it
    is told things; `where` says in a few words how to look at it."""

    @property
    def handle(self) -> str: ...

    @property
    def where(self) -> str: ...

    def numbers(self, axis: str, at: int, values: Mapping[str, float]) -> None:
        """Values at a place on an axis: "stage" (its place in the plan), "model" (its number), or a training's steps
        ("train/M2/step")."""

    def table(self, table: Table) -> None: ...

    def text(self, name: str, text: str) -> None: ...

    def close(self, *, finished: bool) -> None:
        """Write what is not written yet; `finished`: the run did all its steps."""


@dataclass(frozen=True, slots=True)
class TrackerKind:
    """`open(run, handle)` opens the tracker's run of that handle, or a new one if it is None; `package` is what must be
    installed, by the name it is imported and installed by."""

    package: str
    open: Callable[[TrackedRun, str | None], Tracker]


def kind_of(name: str) -> TrackerKind:
    """Raises InputError if a user's file registered something else under the name."""
    kind = TRACKERS[name]
    if not isinstance(kind, TrackerKind):
        raise InputError(f"report_to: tracker '{name}' is {kind!r}; register a TrackerKind")
    return kind


def require_packages(names: Iterable[str]) -> None:
    """Raises InputError if the package of one of the trackers is not installed."""
    for name in names:
        package = kind_of(name).package
        if find_spec(package) is None:
            raise InputError(
                f"report_to: the tracker '{name}' needs the package {package}, which is not installed; "
                f"pip install {package}, or leave {name} out of report_to"
            )


def quietly(**variables: str) -> None:
    """Set environment variables that the user has not set: a run tells nobody about itself."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)
