"""How long a training is, reckoned from bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import parse
from judgeloop.loop import method
from judgeloop.run.directory import RunDirectory
from judgeloop.run.short_training import is_short


def begun(path: Path, weights: int, rows: int, **tree: Any) -> RunDirectory:
    """A run up to M1's training: bytes of M0's weights and of the rows."""
    config = parse({"seed_data": {"ift": "seed.jsonl"}, **tree}, "test")
    run = RunDirectory(path, config, method(config))
    (path / "M0").mkdir(parents=True)
    (path / "M0" / "model.safetensors").write_bytes(bytes(weights))
    run.artifact("M0/model").write_text(json.dumps({"path": str(path / "M0"), "hash": "h0"}), encoding="utf-8")
    run.folder("M1").mkdir()
    (path / "M1" / "ift.jsonl").write_bytes(bytes(rows))
    return run


@pytest.mark.parametrize(
    ("weights", "rows", "epochs", "short"),
    [(400_000, 60_000, 1, True), (400_000, 60_000, 9, False), (8_000_000, 60_000, 1, False), (0, 60_000, 1, False)],
)
def test_how_long_a_training_is(weights: int, rows: int, epochs: int, short: bool, tmp_path: Path) -> None:
    run = begun(tmp_path, weights, rows, sft={"epochs": epochs})
    assert is_short(run, run.steps["M1/sft"]) is short
