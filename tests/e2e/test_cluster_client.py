"""`compute.cluster: ray://HOST:PORT`: a run on a machine that does not belong to the cluster, made by `ray start`."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pausing import begun, wait_until
from test_cluster_runs import run
from test_cluster_training import begin, check, make_whole
from test_several_nodes import free_port

from conftest import write_config
from two_machines import ENVIRONMENT, MEMORY

pytest.importorskip("grpc", reason="grpcio is not installed: `make test-ray` has an environment with it")
pytestmark = pytest.mark.ray


@contextlib.contextmanager
def ray_start(log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A machine of one CPU, as a user starts it."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus", "1",
               "--object-store-memory", str(MEMORY), "--node-ip-address", "127.0.0.1", *options]  # fmt: skip
    # It need not wait for anybody when it is to end.
    variables = {
        **os.environ, **ENVIRONMENT, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_AUTH_MODE": "token",  # `ray start --address`, unlike `--head`, shows none by itself
    }  # fmt: skip
    with log.open("wb") as output:
        machine = subprocess.Popen(command, stdout=output, stderr=output, env=variables)
    try:
        wait_until(lambda: "Ray runtime started" in log.read_text() or machine.poll() is not None)
        assert machine.poll() is None, log.read_text()
        yield machine
    finally:
        machine.send_signal(signal.SIGTERM)
        machine.wait(timeout=120)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address for clients of two machines, which want a token to be shown, and the first one's process."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    port, clients = free_port(), free_port()
    first = ["--head", "--port", str(port), "--ray-client-server-port", str(clients), "--include-dashboard", "false"]
    with (
        ray_start(tmp_path / "first.log", *first) as head,
        ray_start(tmp_path / "second.log", "--address", f"127.0.0.1:{port}"),
    ):
        yield f"ray://127.0.0.1:{clients}", head


def test_the_driver_is_killed_twice(cluster: Any, tiny_model: Path, tmp_path: Path) -> None:
    """In the candidates and in the preference training. What it had started on the cluster ends with it, and the same
    command makes what one machine makes, with an engine or a training process on each."""
    (tmp_path / "whole").mkdir()
    whole = make_whole(tmp_path / "whole", tiny_model)
    out, start = begin(whole, tmp_path, f"compute.cluster={cluster[0]}")
    rows, log = out / "M2" / "candidates.jsonl", tmp_path / "log"
    old = rows.stat().st_ino
    driver = start("M2/candidates")
    wait_until(lambda: (rows.exists() and rows.stat().st_ino != old) or driver.poll() is not None)
    assert driver.poll() is None, log.read_text()[-3000:]
    driver.send_signal(signal.SIGKILL)
    driver.wait(timeout=60)
    driver = start()
    marks = [tmp_path / f"paused.{rank}" for rank in range(2)]
    wait_until(lambda: all(mark.exists() for mark in marks) or driver.poll() is not None)
    assert driver.poll() is None, log.read_text()[-3000:]
    assert len({mark.read_text().split()[1] for mark in marks}) == 2
    driver.send_signal(signal.SIGKILL)
    driver.wait(timeout=60)
    assert start().wait(timeout=1500) == 0, log.read_text()[-3000:]
    check(whole, out)
    assert begun(tmp_path) in ([0, 1], [0, 2])
    assert "engine 2 on" in (out / "logs" / "M2.candidates.log").read_text()


def test_what_the_cluster_lacks_and_a_connection_that_is_lost(cluster: Any, tiny_model: Path, tmp_path: Path) -> None:
    address, head = cluster
    evaluation = {"count": 3, "samples": 40, "bootstrap": 50, "base": True, "sampling": {"max_new_tokens": 200}}
    config, out, log = write_config(tmp_path, tiny_model, evaluation=evaluation), tmp_path / "out", tmp_path / "log"
    there = f"compute.cluster={address}"
    assert run(config, out, log, there, "compute.gpus_per_engine=1", "compute.wait_minutes=0.1").wait(timeout=900) == 2
    assert "none of its 2 machines has 1 GPU, 1 CPU for an engine" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not (out / "M1").exists()
    driver = run(config, out, log, there)
    rows = out / "M0" / "eval.responses.jsonl"
    # The file is there before the client joins.
    wait_until(lambda: (rows.exists() and rows.stat().st_size) or driver.poll() is not None)
    assert driver.poll() is None, log.read_text()[-3000:]
    head.send_signal(signal.SIGTERM)
    assert driver.wait(timeout=900) == 1
    assert f"the connection to {address} was lost; run the same command again" in " ".join(log.read_text().split())
    assert "Traceback" not in log.read_text()
