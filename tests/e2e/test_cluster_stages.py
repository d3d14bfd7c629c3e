"""An engine of the cluster is killed in the middle of each kind of stage that generates or judges: no row is lost, none
doubled, none different."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import command, environment
from judgeloop.compute.cluster_engine import ClusterEngine
from judgeloop.config import ComputeSection
from judgeloop.run.directory import RunDirectory, open_run
from judgeloop.run.methods import steps_of
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from two_machines import two_machines

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import kills_runs

pytestmark = [
    pytest.mark.ray,
    # Ray's own: sockets and files that its threads still hold when a driver leaves.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
# EFT writing, backtranslation, evaluation, new prompts, anchors, judging; candidates are in test_cluster_runs.py.
STAGES = ("M1/written", "M1/labels", "M1/eval", "M2/prompts", "M2/anchors", "M2/judge")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process that has all these stages, by an engine that replies from a script."""
    folder = tmp_path_factory.mktemp("whole")
    config, out = kills_runs.prepare("scripted", folder), folder / "run"
    done = subprocess.run(
        command("run", str(config), "--out", str(out)), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    import ray

    with pytest.MonkeyPatch.context() as patch:
        for found in two_machines(patch):
            yield found
            ray.shutdown()


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of the first engine that has answered anything, its process is killed as soon as it is given more to do."""
    found: list[int] = []
    hand_out = ClusterEngine._hand_out

    def kill(self: ClusterEngine, worker: Any, kind: Any, requests: Sequence[Any], left: deque[int]) -> None:
        hand_out(self, worker, kind, requests, left)
        if worker.results and not found:
            found.append(int(re.findall(r"process (\d+)", worker.machine)[0]))
            os.kill(found[0], signal.SIGKILL)

    monkeypatch.setattr(ClusterEngine, "_hand_out", kill)
    return found


@pytest.mark.parametrize("name", STAGES)
def test_an_engine_is_killed(
    name: str, whole: Path, cluster: Any, killed: list[int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    config, facts = open_run(out)
    compute = ComputeSection(cluster=cluster.address)
    engine = config.engine.model_copy(update={"max_sequences": 2})  # small batches: an engine is asked several times
    config = config.model_copy(update={"compute": compute, "engine": engine})
    run = RunDirectory(out, config, steps_of(facts["method"], config, out))
    step = run.steps[name]
    moved, _ = run.supersede([step])
    assert step in moved
    run_stage(Context(run, step, lambda done, total, note: None))
    assert len(killed) == 1
    assert re.search(r"was lost .*requests are asked again", capfd.readouterr().err)
    expected, found = kills_runs.facts(whole), kills_runs.facts(out)
    made = {f"{step.model}/{file}" for file in step.writes} & expected.keys()
    assert made
    assert {file: found[file] for file in made} == {file: expected[file] for file in made}
