"""A run whose models are judged from outside, and measured by instructions that a program can check."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from endpoint import Answer, Asked, fails, says, serving
from judgeloop.jsonl import read_rows
from judgeloop.records import Candidate, VerifiedAnswer

Command = Callable[..., subprocess.CompletedProcess[str]]
KEY = "sk-only-in-the-environment"


def judge(asked: Asked) -> Answer:
    """Refuses a wrong key; gives every response a 4, and prefers what it is shown first."""
    if asked.headers.get("Authorization") != f"Bearer {KEY}":
        return fails(401, "who are you?")
    return says("Better: A" if "<other_response>" in asked.words else "Fine.\nScore: 4")


def test_a_run_judged_by_an_endpoint(
    make_config: Callable[..., Path], in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("if_verifiable", reason="the extra 'eval' is not installed")
    verifiable = tmp_path / "ifeval.jsonl"
    row = {"key": 7, "prompt": "Rain?", "instruction_id_list": ["punctuation:no_comma", "made:up"], "kwargs": [{}, {}]}
    verifiable.write_text(json.dumps(row) + "\n", encoding="utf-8")
    evaluation = {
        "judge": "openai:gpt", "count": 3, "samples": 1, "bootstrap": 50, "sampling": {"max_new_tokens": 8},
        "ifeval": str(verifiable), "ifeval_max_new_tokens": 9,
    }  # fmt: skip
    out = tmp_path / "run"
    with serving(judge) as server:
        config = make_config(iterations=0, evaluation=evaluation, endpoint={"url": server.url})
        refused = in_process("run", str(config), "--out", str(out))
        assert refused.returncode == 2, refused.stderr
        assert "OPENAI_API_KEY is not set" in refused.stderr.splitlines()[-1]

        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        done = in_process("run", str(config), "--out", str(out))
        assert done.returncode == 0, done.stderr

    found = {name: json.loads((out / name / "eval.json").read_text(encoding="utf-8")) for name in ("M0", "M1")}
    for evaluated in found.values():
        assert evaluated["judge"] == "openai:gpt"
        assert evaluated["judge_health"]["mean_score"]["value"] == 4.0
        assert evaluated["agreement"]["pairwise_ties_half"]["value"] == 0.5  # all the same score
        assert evaluated["ifeval"]["instructions_checked"] == 1
        assert evaluated["ifeval"]["unchecked"] == {"made:up: unknown instruction": 1}
        assert evaluated["ifeval"]["max_new_tokens"] == 9
    for name in ("M0", "M1"):
        (checked,) = read_rows(out / name / "eval.ifeval.checks.jsonl", VerifiedAnswer)
        (answer,) = read_rows(out / name / "eval.ifeval.jsonl", Candidate)
        assert (checked.id, checked.prompt_id, checked.prompt[0]["content"]) == (answer.id, "7", "Rain?")
        known, unknown = checked.instructions
        followed = bool(answer.text.strip()) and "," not in answer.text
        assert (known["instruction"], known["strict"]) == ("punctuation:no_comma", followed)
        assert (unknown["strict"], unknown["reason"]) == (None, "unknown instruction")
    versus = found["M1"]["win_rate_vs_previous"]
    assert (versus["previous"], versus["win"], versus["tie"], versus["lose"]) == ("M0", 0, 3, 0)
    assert "length_controlled" in versus
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert [model["ifeval"]["prompts"] for model in summary["models"]] == [1, 1]
    assert "no log-probabilities" in (out / "logs" / "M1.eval.log").read_text(encoding="utf-8")
    for path in out.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_without_an_address_nothing_starts(make_config: Callable[..., Path], in_process: Command) -> None:
    done = in_process("run", str(make_config(evaluation={"judge": "openai:gpt"})))
    assert done.returncode == 2
    assert "endpoint.url: evaluation.judge is openai:gpt" in done.stderr
