"""Killed anywhere with SIGKILL and started again, a run goes on: nothing lost, nothing doubled, the same models."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from conftest import command, environment

ROWS = ("M1/ift.jsonl", "M1/eft.jsonl", "M2/prompts.jsonl", "M2/candidates.jsonl", "M2/judgements.jsonl",
        "M2/pairs.jsonl", "M3/candidates.jsonl", "M3/judgements.jsonl", "M3/pairs.jsonl")  # fmt: skip
KILLS = int(os.environ.get("JUDGELOOP_TEST_KILLS", "3"))


def start(config: Path, out: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command("run", str(config), "--out", str(out)), stdout=output, stderr=output, env=environment()
        )


def finished_lines(out: Path) -> dict[str, list[bytes]]:
    """Whole lines of the row files, torn last ones left aside."""
    found = {}
    for name in ROWS:
        path = out / name
        if path.exists():
            found[name] = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return found


def test_killed_at_random_moments_nothing_is_lost(make_config: Callable[..., Path], tmp_path: Path) -> None:
    config = make_config()
    log = tmp_path / "log"
    whole = tmp_path / "whole"
    begun = time.monotonic()
    assert start(config, whole, log).wait(timeout=300) == 0, log.read_text()
    length = time.monotonic() - begun

    out = tmp_path / "killed"
    rng = random.Random(7)
    kills = 0
    for attempt in range(KILLS * 4):
        before = finished_lines(out)
        process = start(config, out, log)
        limit = rng.uniform(0.1, 0.9) * length / max(1, KILLS) * 2 if kills < KILLS else None
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            if attempt % 2:  # now the driver, now the child that works
                process.send_signal(signal.SIGKILL)
            else:
                kill_child(process.pid)
            process.wait(timeout=30)
            kills += 1
            code = None
        after = finished_lines(out)
        for name, lines in before.items():
            assert after[name][: len(lines)] == lines, name  # finished rows stay byte for byte
        if code == 0:
            break
    assert kills >= min(KILLS, 2)
    assert code == 0, log.read_text()[-3000:]

    for name in ROWS:
        ids = [json.loads(line)["id"] for line in (out / name).read_bytes().splitlines()]
        assert len(ids) == len(set(ids)), name
        # Rows come in the order they finish; as a set they are those of the run that nothing disturbed.
        assert sorted((out / name).read_bytes().splitlines()) == sorted((whole / name).read_bytes().splitlines()), name
    for model in ("M1", "M2", "M3"):
        mine, theirs = (json.loads((run / model / "train.json").read_text()) for run in (out, whole))
        assert mine["hash"] == theirs["hash"]
        assert mine["initial"]["hash"] == theirs["initial"]["hash"]
        assert (mine["reference"] or {}).get("hash") == (theirs["reference"] or {}).get("hash")
    steps = [(row["model"], row["step"]) for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())]
    assert len(steps) == len(set(steps))


def kill_child(parent: int) -> None:
    """SIGKILL the worker, or the driver itself where no worker runs just now."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    os.kill(int(children[0]) if children else parent, signal.SIGKILL)
