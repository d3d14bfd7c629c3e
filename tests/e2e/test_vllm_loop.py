"""The whole loop with vLLM, in an environment that has it (`make test-vllm`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from judgeloop.jsonl import read_objects
from tiny import make_tiny_model
from vllm_server import needs_vllm, served


@needs_vllm
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


@needs_vllm
def test_the_loop_runs_on_a_server_that_is_given_adapters(
    make_config: Callable[..., Path], judgeloop: Any, tmp_path: Path
) -> None:
    base, url = served(16.0)
    engine = {"kind": "server", "server": {"url": url}}
    candidates = {"count": 3, "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 48}}
    lora = {"method": "lora", "lora": {"rank": 4, "keep_adapter": True}, "max_length": 2000, "precision": "f32",
            "learning_rate": 1e-2}  # fmt: skip
    config = make_config(model=str(base), iterations=1, engine=engine, health={"stop_on": []}, candidates=candidates,
                         pairs={"margin": 0.0, "unfinished": "as_judged"}, sft=lora, train=lora)  # fmt: skip
    done = judgeloop("run", str(config), "--set", "out=run")
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "run"
    rows = [row for _, row in read_objects(next(run.rglob("candidates.jsonl")))]
    assert len({row["id"] for row in rows}) == len(rows) == 12
    assert len({tuple(row["token_ids"]) for row in rows}) > 6
    described = {path: json.loads(path.read_text()) for path in run.glob("M*/engine/*/adapter_config.json")}
    # M0 is asked through an adapter that changes nothing.
    assert {path.parts[-4]: config["r"] for path, config in described.items()} == {"M0": 1, "M1": 4, "M2": 8}
    assert not list(run.glob("check-*"))

    other = make_tiny_model(tmp_path / "other", "qwen3", seed=1)
    refused = judgeloop("run", str(config), "--set", "out=another", "--set", f"model={other}")
    assert refused.returncode == 2
    assert "whose weights or tokenizer are others" in refused.stderr
    assert not list((tmp_path / "another").glob("M*/*"))
