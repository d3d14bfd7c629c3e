"""A Ray cluster of two machines on this one, for tests. Without ray, which is an extra, they are skipped."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ray", reason="ray is not installed: `make test-ray` has an environment with it")

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # 15 starves them on a machine that has other work
}
MEMORY = 100 * 2**20  # bytes of each machine's object store


def two_machines(monkeypatch: pytest.MonkeyPatch, clients: int | None = None) -> Iterator[Any]:
    """Two machines of one CPU each; the second has the resource "second". `clients`: the port for Ray's clients."""
    from ray.cluster_utils import Cluster

    for name, value in ENVIRONMENT.items():  # what the machines start has it from them
        monkeypatch.setenv(name, value)
    found = Cluster()
    found.processes = []
    head = {"include_dashboard": False, **({"ray_client_server_port": clients} if clients else {})}
    _started(found, found.add_node(num_cpus=1, object_store_memory=MEMORY, **head))
    add_second(found)
    found.wait_for_nodes()
    try:
        yield found
    finally:
        found.shutdown()
        for process in found.processes:  # killed, and not waited for by Ray
            process.wait(timeout=120)
        for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):  # what joining it has set, for this process alone
            os.environ.pop(name, None)


def add_second(cluster: Any) -> None:
    """A machine of one CPU with the resource "second"."""
    node = cluster.add_node(num_cpus=1, object_store_memory=MEMORY, resources={"second": 1})
    cluster.second = _started(cluster, node)


def _started(cluster: Any, node: Any) -> Any:
    cluster.processes += [info.process for infos in node.all_processes.values() for info in infos]
    return node
