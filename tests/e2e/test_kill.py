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

import pytest

from conftest import command, environment
from process_tree import process_tree

ROWS = ("M1/ift.jsonl", "M1/eft.jsonl", "M2/prompts.jsonl", "M2/candidates.jsonl", "M2/judgements.jsonl",
        "M2/pairs.jsonl", "M3/candidates.jsonl", "M3/judgements.jsonl", "M3/pairs.jsonl")  # fmt: skip
KILLS = int(os.environ.get("JUDGELOOP_TEST_KILLS", "5"))


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


@pytest.mark.parametrize(("iterations", "most"), [(1, 2), pytest.param(2, KILLS, marks=pytest.mark.long)])
def test_killed_at_random_moments_nothing_is_lost(
    make_config: Callable[..., Path], tmp_path: Path, iterations: int, most: int
) -> None:
    """More kills than one run takes (JUDGELOOP_TEST_KILLS=20) go on in a second run, and so on."""
    config = make_config(iterations=iterations)
    log = tmp_path / "log"
    whole = tmp_path / "whole"
    begun = time.monotonic()
    assert start(config, whole, log).wait(timeout=600) == 0, log.read_text()
    length = time.monotonic() - begun

    rng = random.Random(7)
    kills = runs = 0
    while kills < most:
        out = tmp_path / f"killed-{runs}"
        found = kill_until_complete(config, out, log, rng, length, most - kills)
        same_run(whole, out, iterations)
        kills, runs = kills + found, runs + 1
        length *= 1.0 if found else 0.5  # the machine was slower when it was measured


def kill_until_complete(config: Path, out: Path, log: Path, rng: random.Random, length: float, most: int) -> int:
    """Start the run, kill it at a random moment, start it again, until it completes; return the number of kills. After
    `most` it is left alone."""
    kills = 0
    while True:
        before = finished_lines(out)
        process = start(config, out, log)
        code = None
        try:
            # One start in three is left alone for longer, or slow first steps would never be passed.
            moment = rng.uniform(0.2, 0.9 if kills % 3 == 2 else 0.5) * length
            code = process.wait(timeout=moment if kills < most else 600)
        except subprocess.TimeoutExpired:
            assert kills < most, log.read_text()[-3000:]
            if (most - kills) % 2:  # now the driver, now the child that works
                process.send_signal(signal.SIGKILL)
            else:
                os.kill(process_tree(process.pid)[-1], signal.SIGKILL)
            process.wait(timeout=600)  # where it was what forks the workers, the run goes on without
            kills += 1
        after = finished_lines(out)
        for name, lines in before.items():
            assert after[name][: len(lines)] == lines, name  # finished rows stay byte for byte
        if code is not None:
            assert code == 0, log.read_text()[-3000:]
            return kills


def same_run(whole: Path, out: Path, iterations: int) -> None:
    """Rows come in the order they finish; as a set they are those of the run that nothing disturbed."""
    models = [f"M{number + 1}" for number in range(iterations + 1)]
    for name in (name for name in ROWS if name[:2] in models):
        lines = (out / name).read_bytes().splitlines()
        ids = [json.loads(line)["id"] for line in lines]
        assert len(ids) == len(set(ids)), name
        assert sorted(lines) == sorted((whole / name).read_bytes().splitlines()), name
    for model in models:
        mine, theirs = (json.loads((run / model / "train.json").read_text()) for run in (out, whole))
        assert mine["hash"] == theirs["hash"]
        assert mine["initial"]["hash"] == theirs["initial"]["hash"]
        assert (mine["reference"] or {}).get("hash") == (theirs["reference"] or {}).get("hash")
    steps = [(row["model"], row["step"]) for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())]
    assert len(steps) == len(set(steps))
