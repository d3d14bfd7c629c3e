"""A model of a run judges, given its folder alone, as it did in the run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny import make_tiny_model

Command = Callable[..., subprocess.CompletedProcess[str]]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_model_judges_as_in_its_run(make_config: Callable[..., Path], in_process: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    rubric = tmp_path / "mine.txt"
    rubric.write_text(
        "#: score_line = Points: \n#: scores = 1-3\n{instruction}\n<text>{response}</text>\n1 to 3?\n", encoding="utf-8"
    )
    config = make_config(
        iterations=0,
        system_prompt="Be brief.",
        judge={"rubric": str(rubric), "min_mass": 0.0},
        evaluation={"count": 2, "samples": 1, "bootstrap": 50, "base": False, "prompts": [str(tmp_path / "held.jsonl")],
                    "sampling": {"max_new_tokens": 8}},
    )  # fmt: skip
    asked = [f"What is held out, number {n}?" for n in range(2)]
    (tmp_path / "held.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in asked), encoding="utf-8")
    mask = os.umask(0o027)
    try:
        done = in_process("run", str(config), "--out", str(out), "--set", "seed_data.held_out_share=0")
    finally:
        os.umask(mask)
    assert done.returncode == 0, done.stderr
    folder = out / "M1" / "model"
    assert json.loads((folder / "config.json").read_text())["use_cache"] is True
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o640"}
    assert all(path.stat().st_size for path in out.glob("M1/eval.*.jsonl"))  # a file without a row is none

    rubric.unlink()  # the folder has its text
    given = rows(out / "M1" / "eval.responses.jsonl")
    before = {row["candidate_id"]: row["score"] for row in rows(out / "M1" / "eval.judgements.jsonl")}
    prompts = {row["id"]: text for row, text in zip(given, asked, strict=True)}
    source = tmp_path / "rows.jsonl"
    source.write_text(
        "".join(json.dumps({"prompt": prompts[row["id"]], "response": row["text"], "id": row["id"]}) + "\n"
                for row in given), encoding="utf-8",
    )  # fmt: skip
    moved = tmp_path / "moved"
    folder.rename(moved)
    common = ("judge", "--model", str(moved), "--in", str(source))
    exact = ("--set", "threads=1")  # the engine and its precision are those of the run
    done = in_process(*common, "--out", str(tmp_path / "scored.jsonl"), *exact)
    assert done.returncode == 0, done.stderr
    found = {row["id"]: row["score"] for row in rows(tmp_path / "scored.jsonl")}
    assert found == pytest.approx(before, abs=1e-6)
    said = " ".join(done.stderr.split())
    assert "learnt to judge otherwise" not in said
    assert "M1 is run as in its run: engine.kind transformers, engine.precision f32; --engine or --set says" in said

    done = in_process(*common, "--out", str(tmp_path / "other.jsonl"), *exact, "--rubric", "additive-5-direct")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert f"M1 learnt to judge otherwise than it is asked now: rubric additive-5-direct (learnt: {rubric})" in said
    other = {row["id"]: row["score"] for row in rows(tmp_path / "other.jsonl")}
    assert other != pytest.approx(before, abs=1e-2)


def test_a_model_of_no_run_has_no_note(tmp_path: Path, in_process: Command) -> None:
    model = make_tiny_model(tmp_path / "tiny")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "Say 1.", "response": "1"}) + "\n")
    common = ("judge", "--model", str(model), "--in", str(tmp_path / "rows.jsonl"), "--engine", "transformers")
    done = in_process(*common, "--out", str(tmp_path / "a.jsonl"), "--set", "judge.min_mass=0")
    assert done.returncode == 0, done.stderr
    (model / "judgeloop_run.json").write_text('{"name": "M1"}')
    done = in_process(*common, "--out", str(tmp_path / "b.jsonl"))
    assert done.returncode == 2
    assert "judgeloop_run.json: it has no 'judgeloop'; restore the file, or remove it" in " ".join(done.stderr.split())
