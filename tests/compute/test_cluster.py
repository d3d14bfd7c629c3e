"""Engines and machines of a Ray cluster: what dies is asked again, what cannot work is named."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import judgeloop
from judgeloop.compute import cluster as machines
from judgeloop.compute.cluster_engine import ClusterEngine
from judgeloop.compute.engine_actor import ToOpen
from judgeloop.config import ComputeSection, EngineSection
from judgeloop.engines import open_engine
from judgeloop.engines.base import OptionRequest, Request, Sampling
from judgeloop.engines.kinds import Opening
from judgeloop.errors import InputError, StageFailed
from judgeloop.models.chat import Chat
from tiny import make_tiny_model
from two_machines import two_machines

pytestmark = [
    pytest.mark.ray,
    # Ray's own: sockets and files that its threads still hold when a driver leaves.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
SECTION = EngineSection(kind="transformers", precision="f32", max_sequences=4)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    yield from two_machines(monkeypatch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny", end_bias=0.0)


@contextlib.contextmanager
def engine(address: str, folder: Path, **more: Any) -> Iterator[ClusterEngine]:
    import ray

    local_cache = more.pop("local_cache", None)
    wanted = ToOpen(
        Opening(SECTION, folder, Chat.load(folder), folder / "engine", 1, 0, False), (), "digest", local_cache
    )
    found = ClusterEngine(wanted, ComputeSection(cluster=address, **more))
    try:
        yield found
    finally:
        found.close()
        ray.shutdown()


def requests(count: int, tokens: int = 60) -> list[Request]:
    how = Sampling(tokens, temperature=1.0)
    return [Request(f"r{n % (count - 1)}", (5 + n % 90, 7, 9), how, 2, n) for n in range(count)]  # two ids are alike


def answers(folder: Path, asked: list[Request]) -> list[Any]:
    here = open_engine(SECTION, folder, Chat.load(folder), work_dir=folder, threads=1, seed=0)
    return sorted(here.generate(asked), key=repr)


@pytest.mark.parametrize("from_outside", [False, True])
def test_an_engine_and_a_machine_are_lost(
    from_outside: bool, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First one actor is killed, then a machine with the other, which then has nowhere to go: every sample comes once
    and is what one engine makes. What an engine refuses is said as it says it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "empty").mkdir()
    with contextlib.contextmanager(two_machines)(monkeypatch, port if from_outside else None) as cluster:
        address = f"ray://127.0.0.1:{port}" if from_outside else cluster.address
        lose(cluster, address, model)
        with engine(address, model) as broken:
            object.__setattr__(broken._wanted.opening, "folder", tmp_path / "empty")
            with pytest.raises(InputError, match="empty"):
                list(broken.generate(requests(4)))


def lose(cluster: Any, address: str, model: Path) -> None:
    asked = requests(60)
    with engine(address, model) as lost:
        found = []
        for generation in lost.generate(asked):
            found.append(generation)
            if len(found) == 10:
                process = int(re.findall(r"process (\d+)", lost._workers[0].machine)[0])
                os.kill(process, signal.SIGKILL)
            if len(found) == 60:
                cluster.remove_node(cluster.second, allow_graceful=False)
        assert sorted(found, key=repr) == answers(model, asked)
        assert lost._started >= 4
        options = [OptionRequest(f"o{n}", (5, 6, n + 7), ((8,), (9, 10))) for n in range(5)]
        assert {result.request_id for result in lost.option_logprobs(options)} == {f"o{n}" for n in range(5)}


def test_whoever_stops_listening_gets_answers_to_the_next_question(cluster: Any, model: Path, tmp_path: Path) -> None:
    """Engines outlive a question; each machine loads its own copy of the model."""
    with engine(cluster.address, model, local_cache=str(tmp_path / "cache")) as asked_twice:
        next(iter(asked_twice.generate(requests(30))))
        later = requests(8, tokens=5)
        assert sorted(asked_twice.generate(later), key=repr) == answers(model, later)
        assert asked_twice._started == 2
        deadline = time.monotonic() + 60
        while not all(worker.ready for worker in asked_twice._workers) and time.monotonic() < deadline:
            list(asked_twice.generate(requests(8, tokens=5)))
        assert all(worker.ready for worker in asked_twice._workers)  # two load one copy at a time
    (copy,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    assert (copy / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def test_an_engine_gets_the_machine_that_it_needs(cluster: Any, model: Path) -> None:
    with engine(cluster.address, model, resources={"second": 1}) as one:
        assert len(list(one.generate(requests(4, tokens=3)))) == 8
        assert one._started == 1
    none = engine(cluster.address, model, gpus_per_engine=1, wait_minutes=0)
    with none as asked, pytest.raises(InputError, match="1 GPU"):
        list(asked.generate(requests(4)))


def test_every_machine_is_looked_at(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    machines.connect(ComputeSection(cluster=cluster.address))
    try:
        assert machines.check_machines(tmp_path / "run") == 2
        assert list((tmp_path / "run").iterdir()) == []
        monkeypatch.setattr(judgeloop, "__version__", "0.0.9")
        with pytest.raises(InputError, match=r"machine .* has judgeloop .* and this one 0\.0\.9"):
            machines.check_machines(tmp_path / "run")
        monkeypatch.undo()

        @contextlib.contextmanager
        def elsewhere(run: Path) -> Iterator[tuple[Path, str]]:
            yield run / "not there", "nonce"

        monkeypatch.setattr(machines, "_nonce", elsewhere)
        with pytest.raises(InputError, match="does not see the run directory"):
            machines.check_machines(tmp_path / "run")
    finally:
        ray.shutdown()


def test_a_cluster_that_is_not_there() -> None:
    with pytest.raises(InputError, match="cannot be joined"):
        machines.connect(ComputeSection(cluster="127.0.0.1:1"))


def test_engines_that_die_one_after_another_end_the_stage() -> None:
    """A prompt that ends whatever reads it does not keep a cluster busy for ever."""
    import judgeloop.compute.cluster_engine as module

    asking = ClusterEngine.__new__(ClusterEngine)
    asking._losses, asking._workers = module._LOSSES - 1, [module._Worker(1, None)]
    with pytest.raises(StageFailed, match="3 engines in a row"):
        asking._replace(asking._workers[0], module._Lost("killed"))
