"""The short form of `benchmarks/kills.py`: a run with nearly every stage, cut off a few times."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")
@pytest.mark.long
def test_a_run_that_is_cut_off_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--kills", "2", "--per-run", "3", "--runs", "scripted",
         "--seed", "1", "--out", str(tmp_path / "kills")],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "JUDGELOOP_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.rstrip().endswith("all equal")
