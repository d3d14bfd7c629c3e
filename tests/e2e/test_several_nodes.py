"""A run that torchrun started on two nodes: two agents on this machine, one process each."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import environment

KILLS = """
import os, pathlib, signal, sys
from judgeloop.training import distributed

MARK = pathlib.Path(__file__).with_name("killed")
if distributed.rank() == 1 and "torch" in sys.modules and not MARK.exists():  # a child that trains
    from judgeloop.training.trainer import Reporter

    before = Reporter.on_step_end

    def kill(self, args, state, control, **rest):
        before(self, args, state, control, **rest)
        if state.global_step == 2:
            MARK.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    Reporter.on_step_end = kill
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.mark.long
def test_two_nodes_make_a_run_though_one_is_killed(tmp_path: Path, make_config: Callable[..., Path]) -> None:
    """In the middle of M1's training the second node's process is killed; torchrun starts both again."""
    (tmp_path / "kills.py").write_text(KILLS)
    sft = {"learning_rate": 1e-3, "batch_size": 8, "max_length": 2000, "precision": "f32", "checkpoint_steps": 1}
    config = make_config(iterations=0, plugins="kills.py", sft=sft, compute={"sharding": "hsdp"})
    out = tmp_path / "run"
    torchrun = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--rdzv-id", "test",
        "--local-addr", "127.0.0.1", "--max-restarts", "1", "-m", "judgeloop", "run", str(config), "--out", str(out),
    ]  # fmt: skip
    logs = [(tmp_path / f"node{number}.log") for number in range(2)]
    agents = []
    for log in logs:
        with log.open("wb") as output:
            agents.append(
                subprocess.Popen(torchrun, cwd=tmp_path, env=environment(), stdout=output, stderr=subprocess.STDOUT)
            )
    try:
        codes = [agent.wait(timeout=300) for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    said = "\n".join(log.read_text(errors="replace")[-3000:] for log in logs)
    assert codes == [0, 0], said
    assert (tmp_path / "killed").exists()
    assert (out / "M1" / "eval.json").exists()
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["stage"] == "sft"] == [1, 2, 3, 4, 5]
