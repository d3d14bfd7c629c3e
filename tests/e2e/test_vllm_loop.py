"""The whole loop with vLLM, in an environment that has it (`make test-vllm`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from judgeloop.jsonl import read_objects
from tiny import make_tiny_model


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed")
def test_the_loop_runs_on_vllm(make_config: Callable[..., Path], judgeloop: Any, tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "qwen3", "qwen3")
    engine = {"kind": "vllm", "precision": "f32", "cache_gib": 0.25}
    candidates = {"count": 3, "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 48}}
    config = make_config(model=str(model), iterations=1, engine=engine, health={"stop_on": []}, candidates=candidates,
                         pairs={"margin": 0.0, "unfinished": "as_judged"})  # fmt: skip
    done = judgeloop("run", str(config), "--set", "out=run")
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "run"
    (file,) = run.rglob("candidates.jsonl")
    rows = [row for _, row in read_objects(file)]
    assert len({row["id"] for row in rows}) == len(rows) == 12
    assert len({tuple(row["token_ids"]) for row in rows}) > 6
    assert (run / "M2" / "model" / "config.json").is_file()
