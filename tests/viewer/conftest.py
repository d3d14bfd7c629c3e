"""A small run on the disk: M1 and M2, prompts with and without a pair, an evaluation, texts that try to break out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

HOSTILE = '</textarea><script>alert(1)</script><img src=x onerror="alert(2)">{{7*7}}'


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def dump(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def make_run(run: Path, prompts: int = 6) -> Path:
    """M2's prompts alternate between a pair and none; the second candidate is hostile."""
    dump(run / "run.json", {"models": ["M0", "M1", "M2"], "seed": 3, "started": "2026-01-01T00:00:00+00:00"})
    (run / "config.yaml").write_text(
        yaml.safe_dump({"model": "m0", "pairs": {"margin": 0.5}, "judge": {"contrast": {"others": 0}}}),
        encoding="utf-8",
    )
    names = [f"p-{k:012x}" for k in range(prompts)]
    write(run / "M2/prompts.jsonl", [
        {"id": name, "messages": user(f"Say something about number {k}. {HOSTILE if k == 1 else ''}"),
         "source": f"prompts.jsonl:{k}"} for k, name in enumerate(names)
    ])  # fmt: skip
    candidates, judgements, pairs = [], [], []
    for k, name in enumerate(names):
        gap = 2.0 if k % 2 == 0 else 0.1
        for j, score in enumerate((3.0 + gap, 3.0)):
            candidate = f"M2.{name}.{j}"
            candidates.append({"id": candidate, "prompt_id": name, "text": HOSTILE if j else f"answer {k}",
                               "token_ids": [1, 2], "finish_reason": "stop"})  # fmt: skip
            judgements.append({"id": f"{candidate}.j0", "candidate_id": candidate, "k": 0, "text": HOSTILE,
                               "score": score, "reason": None})  # fmt: skip
        if gap > 1:
            pairs.append({"id": f"pair-{k:012x}", "prompt_id": name, "prompt": user("Say."),
                          "chosen": [{"role": "assistant", "content": "answer"}],
                          "rejected": [{"role": "assistant", "content": HOSTILE}],
                          "chosen_id": f"M2.{name}.0", "rejected_id": f"M2.{name}.1",
                          "chosen_score": 3.0 + gap, "rejected_score": 3.0})  # fmt: skip
    write(run / "M2/candidates.jsonl", candidates)
    write(run / "M2/judgements.jsonl", judgements)
    write(run / "M2/pairs.jsonl", pairs)
    dump(run / "M2/judge.json", {"judge": "M1"})
    dump(run / "M1/train.json", {"name": "M1", "hash": "1" * 64})
    held_out = [
        {"id": f"r-{k}", "messages": user(f"Held out {k} {HOSTILE}"), "source": f"seed.jsonl:{k}",
         "responses": [{"text": "good", "rank": 0}, {"text": "bad", "rank": 1}]} for k in range(3)
    ]  # fmt: skip
    write(run / "M1/held_out.jsonl", held_out)
    from judgeloop.records import stable_id

    for model in ("M1", "M2"):
        asked = [stable_id("p", row["messages"]) for row in held_out]
        write(run / f"{model}/eval.responses.jsonl", [
            {"id": f"{model}.{name}.0", "prompt_id": name, "text": f"{model} says {k} {HOSTILE}", "token_ids": [1],
             "finish_reason": "stop"} for k, name in enumerate(asked)
        ])  # fmt: skip
        write(run / f"{model}/eval.judgements.jsonl", [
            {"id": f"{model}.{name}.0.j0", "candidate_id": f"{model}.{name}.0", "k": 0, "text": "", "score": 3.0 + k,
             "reason": None} for k, name in enumerate(asked)
        ])  # fmt: skip
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")
