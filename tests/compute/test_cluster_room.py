"""Waiting for machines that a cluster does not have yet; the cluster is a list in its place."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from judgeloop.compute import cluster, cluster_room
from judgeloop.config import ComputeSection
from judgeloop.errors import InputError

Machines = list[Mapping[str, float]]


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    """What the cluster has; a test may change it."""
    found: Machines = []
    for module in (cluster, cluster_room):
        monkeypatch.setattr(module, "alive_machines", lambda: found)
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a cluster that scales itself was asked for."""
    found: list[Any] = []
    sdk = types.SimpleNamespace(request_resources=lambda bundles: found.append(bundles))
    for name, module in (("ray", types.ModuleType("ray")), ("ray.autoscaler", None), ("ray.autoscaler.sdk", sdk)):
        monkeypatch.setitem(sys.modules, name, module or types.ModuleType(name))
    return found


def passing(monkeypatch: pytest.MonkeyPatch, each: Callable[[int], None]) -> list[str]:
    """A clock on which every sleep is a minute, at which something happens; returns what is told."""
    minutes = [0]

    def sleep(_seconds: float) -> None:
        minutes[0] += 1
        each(minutes[0])

    monkeypatch.setattr(cluster_room.time, "sleep", sleep)
    monkeypatch.setattr(cluster_room.time, "monotonic", lambda: 60.0 * minutes[0])
    return []


def test_an_engine_waits_for_the_machine_that_was_asked_for(
    machines: Machines, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head without CPUs, as in Kubernetes, and two machines that come after three minutes."""
    machines.append({"memory": 1e9})
    told = passing(monkeypatch, lambda minute: machines.extend([{"GPU": 4, "CPU": 8}] * 2) if minute == 3 else None)
    section = ComputeSection(cluster="auto", gpus_per_engine=2, engines=8)
    share = cluster_room.engine_room(section, None, told.append)
    assert (share.gpus, share.cpus, share.engines, share.room) == (2, 1, 8, 4)
    assert told == [f"waits for a machine that has room for an engine, {n} of 10 min" for n in range(3)]
    assert asked == [[{"GPU": 2, "CPU": 1}] * 8] * 3 + [[]]


def test_no_machine_comes(machines: Machines, asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    machines.append({"CPU": 4})
    told = passing(monkeypatch, lambda _: None)
    section = ComputeSection(cluster="auto", gpus_per_engine=1, wait_minutes=5)
    with pytest.raises(InputError, match=r"none of its 1 machines has 1 GPU, 1 CPU for an engine; set compute\.gpus"):
        cluster_room.engine_room(section, None, told.append)
    assert len(told) == 5
    assert asked[-1] == []


def test_a_training_has_room_or_is_named_before_it_begins(
    machines: Machines, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    machines += [{"CPU": 8, "GPU": 1}, {"CPU": 8, "GPU": 2}]
    told = passing(monkeypatch, lambda _: None)
    cluster_room.training_room(ComputeSection(cluster="auto", processes=3), told.append)
    assert told == asked == []
    message = r"compute\.processes: 4 processes of a training take 1 CPU, 1 GPU each, .* has room for 3; start"
    with pytest.raises(InputError, match=message):
        cluster_room.training_room(ComputeSection(cluster="auto", processes=4, wait_minutes=2), told.append)
    assert told[-1].endswith("1 of 2 min")
    assert asked[0] == [{"CPU": 1, "GPU": 1}] * 4
    cluster_room.training_room(ComputeSection(cluster="auto", processes=2), told.append, {"GPU": 1, "CPU": 7})
    with pytest.raises(InputError, match=r"has room for 2 beside an engine \(train\.early_stopping\); start"):
        cluster_room.training_room(
            ComputeSection(cluster="auto", processes=3, wait_minutes=0), told.append, {"GPU": 1, "CPU": 7}
        )
    machines.clear()
    with pytest.raises(InputError, match="room for 0"):
        cluster_room.training_room(ComputeSection(cluster="auto", wait_minutes=0), told.append)
