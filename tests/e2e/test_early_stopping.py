"""A run whose training is ended by its judge."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from e2e.conftest import TOPICS
from judgeloop.jsonl import read_objects

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_checkpoints_are_compared_by_the_judge_and_the_run_says_so(
    make_config: Callable[..., Path], in_process: Command, tmp_path: Path
) -> None:
    asked = tmp_path / "held-out.jsonl"
    asked.write_text("".join(json.dumps({"prompt": f"What is {topic}?"}) + "\n" for topic in TOPICS))
    config = make_config(
        iterations=1,
        evaluation={"prompts": str(asked), "count": 3, "samples": 1, "sampling": {"max_new_tokens": 8}},
        train={
            "learning_rate": 1e-3, "batch_size": 1, "max_length": 2000, "checkpoint_steps": 1,
            "early_stopping": {"every": 2, "prompts": 3},
        },
    )  # fmt: skip
    out = tmp_path / "run"
    done = in_process("run", str(config), "--out", str(out))
    assert done.returncode == 0, done.stderr
    made = json.loads((out / "M2" / "train.json").read_text())
    rows = [row for _, row in read_objects(out / "metrics.jsonl") if row["stage"] == "train"]
    judged = {row["step"]: row for row in rows if "early_stopping_win" in row}
    assert judged
    assert all(
        sum(row[f"early_stopping_{name}"] for name in ("win", "tie", "lose", "unparsed")) == 3
        for row in judged.values()
    )
    lost = [step for step, row in judged.items() if row["early_stopping_win"] <= row["early_stopping_lose"]]
    assert made["stopped_at"] == (lost[0] if lost else None)
    assert (made["why"] is None) == (not lost)
    assert made["kept_step"] == max([step for step in judged if step not in lost], default=0)
    assert made["steps"] == max(judged)
    assert sum("loss" in row for row in rows) == made["steps"]
    if made["kept_step"] == 0:
        assert made["hash"] == made["initial"]["hash"]
    assert not (out / "M2" / "checkpoints").exists()
    assert not (out / "M2" / "model" / "engine").exists()
    again = in_process("run", str(config), "--out", str(out), "--set", "evaluation.sampling.max_new_tokens=9")
    assert again.returncode == 2
    assert "evaluation.sampling.max_new_tokens" in again.stderr
