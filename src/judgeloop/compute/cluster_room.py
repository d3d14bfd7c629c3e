"""Waiting for machines: an autoscaling cluster starts them when somebody asks, and other programs may hold them.

Every wait says what it waits for, and ends after `compute.wait_minutes` with what to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from judgeloop.compute.cluster import Share, alive_machines, engine_needs, from_outside, has_gpus, places, share
from judgeloop.config import ComputeSection
from judgeloop.errors import InputError

WAITS = "waits for machines that have room for all processes of the training"
_LOOK = 2.0  # seconds between two looks at what the cluster has


class Patience:
    """How long something is waited for. It begins with the first look at which nothing was there."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self._since: float | None = None

    def satisfied(self) -> None:
        """What was waited for is there."""
        self._since = None

    def over(self) -> bool:
        """Whether it has been missing for too long."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since >= 60 * self.minutes

    def waited(self) -> str:
        """For a person: how long it has been, and how long it may be."""
        minutes = 0.0 if self._since is None else (time.monotonic() - self._since) / 60
        return f"{minutes:.0f} of {self.minutes:g} min"


def engine_room(section: ComputeSection, threads: int | None, tell: Callable[[str], None]) -> Share:
    """What each engine gets, as soon as there is room for one. Raises InputError if there is none in time."""
    patience = Patience(section.wait_minutes)
    with _Asking(section) as ask:
        while True:
            try:
                return share(section, threads)
            except InputError:
                if patience.over():
                    raise
            ask.machines(engine_needs(section, threads), section.engines or 1)
            tell(f"waits for a machine that has room for an engine, {patience.waited()}")
            time.sleep(_LOOK)


def training_room(
    section: ComputeSection, tell: Callable[[str], None], engine: Mapping[str, float] | None = None
) -> None:
    """Return when the cluster has room for all processes of a training, and an `engine` beside them if they ask one.
    Raises InputError if it has not in time."""
    patience = Patience(section.wait_minutes)
    with _Asking(section) as ask:
        while lacks := training_lacks(section, engine):
            if patience.over():
                raise InputError(f"{lacks} (waited {section.wait_minutes:g} min, compute.wait_minutes)")
            ask.machines(training_needs(section), section.processes)
            tell(f"{WAITS}, {patience.waited()}")
            time.sleep(_LOOK)


def training_needs(section: ComputeSection) -> dict[str, float]:
    """What each process of a training takes of a machine, in Ray's names."""
    return {"CPU": 1, **({"GPU": 1} if section.gpus_per_engine or has_gpus() else {}), **section.resources}


def training_lacks(section: ComputeSection, engine: Mapping[str, float] | None = None) -> str:
    """Which machines are missing for all processes of a training to have room, beside an `engine` if it needs one;
    empty if none is."""
    needs, machines = training_needs(section), alive_machines()
    rooms = [places(machine, needs) for machine in machines]
    room, beside = sum(rooms), ""
    if engine is not None:
        beside = " beside an engine (train.early_stopping)"
        room = max(
            (
                room - alone + places({name: has - engine.get(name, 0) for name, has in machine.items()}, needs)
                for alone, machine in zip(rooms, machines, strict=True)
                if places(machine, engine)
            ),
            default=0,
        )
    if room >= section.processes:
        return ""
    each = ", ".join(f"{amount:g} {name}" for name, amount in needs.items())
    return (
        f"compute.processes: {section.processes} processes of a training take {each} each, and the cluster has room "
        f"for {room}{beside}; start more machines, or set fewer processes"
    )


class _Asking:
    """Within it a cluster that scales itself is told what will be needed; nothing else would ask for it yet."""

    def __init__(self, section: ComputeSection) -> None:
        self._from_outside = from_outside(section)
        self._asked = False

    def __enter__(self) -> _Asking:
        return self

    def machines(self, needs: Mapping[str, float], count: int) -> None:
        """Ask for machines that have this so many times."""
        self._request([{name: amount for name, amount in needs.items() if amount}] * count)
        self._asked = True

    def __exit__(self, *_: object) -> None:
        if self._asked:
            self._request([])

    def _request(self, bundles: list[dict[str, float]]) -> None:
        from ray.autoscaler.sdk import request_resources

        if not self._from_outside:
            request_resources(bundles=bundles)
            return
        import ray

        ray.get(ray.remote(num_cpus=0)(request_resources).remote(bundles=bundles))  # it fails in Ray's client
