"""A run on a Ray cluster makes what a run on one machine makes, whatever dies on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_kill import ROWS
from test_several_nodes import KILLS

from conftest import command, environment
from two_machines import ENVIRONMENT, two_machines

pytestmark = pytest.mark.ray


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    yield from two_machines(monkeypatch)


def run(config: Path, out: Path, log: Path, *changes: str, redo: str | None = None) -> subprocess.Popen[bytes]:
    sets = [word for change in changes for word in ("--set", change)]
    sets += ["--redo", redo] if redo else []
    with log.open("ab") as output:
        return subprocess.Popen(
            command("run", str(config), "--out", str(out), *sets), stdout=output, stderr=output, env=environment()
        )


def same_rows(whole: Path, out: Path, names: Sequence[str]) -> None:
    """None lost, none doubled, none different. What is batched otherwise is rounded otherwise, in the seventh digit."""
    for name in names:
        found, expected = (
            {row["id"]: row for row in map(json.loads, (folder / name).read_text().splitlines())}
            for folder in (out, whole)
        )
        assert len((out / name).read_text().splitlines()) == len(expected), name
        assert found.keys() == expected.keys(), name
        for key, row in expected.items():
            assert found[key].keys() == row.keys(), name
            for field, value in row.items():
                numbers = value if isinstance(value, list) else [value]
                rounded = all(isinstance(one, float) for one in numbers)
                assert found[key][field] == (pytest.approx(value, abs=2e-6) if rounded else value), (name, field)


def same_models(whole: Path, out: Path, models: Sequence[str]) -> None:
    for model in models:
        mine, theirs = (json.loads((folder / model / "train.json").read_text()) for folder in (out, whole))
        assert mine["hash"] == theirs["hash"], model
        assert mine["initial"]["hash"] == theirs["initial"]["hash"], model
        assert (mine["reference"] or {}).get("hash") == (theirs["reference"] or {}).get("hash"), model


def test_the_same_run_though_its_driver_is_killed(
    cluster: Any, make_config: Callable[..., Path], tmp_path: Path
) -> None:
    """On two machines with an engine each: the same rows, float32 weights equal to the last bit, the right reference;
    the driver is killed in the middle of the candidates and the same command goes on."""
    config, log = make_config(iterations=1), tmp_path / "log"
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run(config, whole, log).wait(timeout=1500) == 0, log.read_text()
    there = (f"compute.cluster={cluster.address}", "candidates.sampling.max_new_tokens=12")
    driver = run(config, out, log, *there)
    rows = out / "M2" / "candidates.jsonl"
    while not rows.exists() and driver.poll() is None:
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait(timeout=60)
    assert not (out / "M2" / "train.json").exists()
    assert run(config, out, log, *there).wait(timeout=1500) == 0, log.read_text()[-3000:]
    made = [name for name in ROWS if (whole / name).exists()]
    assert "M2/judgements.jsonl" in made
    same_rows(whole, out, made)
    same_models(whole, out, ("M1", "M2"))
    assert "engine 2 on" in (out / "logs" / "M2.candidates.log").read_text()


def test_a_training_whose_worker_is_killed(cluster: Any, make_config: Callable[..., Path], tmp_path: Path) -> None:
    """Two processes, one a machine: the second kills itself after step 2, and both go on from the last checkpoint to
    the weights that two processes of torchrun make."""
    sft = {"learning_rate": 1e-3, "batch_size": 8, "max_length": 2000, "precision": "f32", "checkpoint_steps": 1}
    (tmp_path / "kills.py").write_text(KILLS)
    config = make_config(iterations=0, sft=sft, compute={"processes": 2})
    whole, out, log = tmp_path / "whole", tmp_path / "out", tmp_path / "log"
    assert run(config, whole, log).wait(timeout=1500) == 0, log.read_text()[-3000:]
    config = make_config(iterations=0, sft=sft, compute={"processes": 2, "cluster": cluster.address},
                         plugins="kills.py")  # fmt: skip
    assert run(config, out, log).wait(timeout=1500) == 0, log.read_text()[-3000:]
    assert (tmp_path / "killed").exists()
    same_models(whole, out, ("M1",))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["stage"] == "sft"] == [1, 2, 3, 4, 5]


def test_ray_on_this_machine_alone(
    make_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`compute.cluster: local` needs no cluster: each step that works starts Ray and ends it."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    evaluation = {"count": 3, "samples": 2, "bootstrap": 50, "base": False, "sampling": {"max_new_tokens": 8}}
    config, log = make_config(iterations=0, evaluation=evaluation), tmp_path / "log"
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run(config, whole, log).wait(timeout=1500) == 0, log.read_text()[-3000:]
    assert run(config, out, log, "compute.cluster=local").wait(timeout=1500) == 0, log.read_text()[-3000:]
    same_models(whole, out, ("M1",))
    same_rows(whole, out, ("M1/eval.responses.jsonl", "M1/eval.judgements.jsonl"))
    assert "engine 1 on" in (out / "logs" / "M1.eval.log").read_text()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "auto"])
def test_a_cluster_that_is_not_there_ends_the_run_at_once(
    address: str, make_config: Callable[..., Path], tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    assert run(make_config(), out, log, f"compute.cluster={address}").wait(timeout=600) == 2
    said = [line for line in log.read_text().splitlines() if f"compute.cluster: {address} cannot be joined" in line]
    assert len(said) == 1, log.read_text()
    assert "Traceback" not in log.read_text()
    assert not (out / "M1").exists()
