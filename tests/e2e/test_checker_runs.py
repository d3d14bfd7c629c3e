"""A run whose models are measured by the user's own code, from the command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from judgeloop.cli import app
from judgeloop.config import load
from judgeloop.jsonl import to_line
from judgeloop.loop import method
from judgeloop.records import RankedSet
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.seals import sealed

Command = Callable[..., subprocess.CompletedProcess[str]]


def trained_already(config: Path, out: Path, model: Path) -> None:
    """A run in which M1 is made and nothing was measured yet."""
    settings = load(config)
    run = RunDirectory(out, settings, method(settings))
    for name in ("M0", "M1"):
        run.folder(name).mkdir(parents=True)
    write_json(out / "M0" / "model.json", {"name": "M0", "path": str(model), **sealed(model)})
    ranked = [
        RankedSet(f"r{k}", [{"role": "user", "content": f"Say {k}."}], [{"text": "x", "rank": k} for k in (0, 1)], "t")
        for k in range(3)
    ]
    (out / "M1" / "held_out.jsonl").write_text("".join(map(to_line, ranked)), encoding="utf-8")
    for name in ("ift.jsonl", "eft.jsonl"):
        (out / "M1" / name).touch()
    (out / "M1" / "model").symlink_to(model)
    write_json(out / "M1" / "train.json", sealed(model))
    for name in ("M0/model", "M1/seed", "M1/sft"):
        run.finish(run.steps[name], 1.0, {})
    describe(run)


def test_a_run_with_a_checker(
    make_config: Callable[..., Path], in_process: Command, tmp_path: Path, tiny_model: Path
) -> None:
    checker = tmp_path / "check.py"
    checker.write_text("def check(prompt, response, finished):\n    return prompt['gold'] in response\n")
    evaluation = {"count": 3, "samples": 2, "bootstrap": 50, "base": False, "checker": "check.py"}
    config = make_config(iterations=0, engine={"kind": "scripted"}, evaluation=evaluation)
    out = tmp_path / "run"
    trained_already(config, out, tiny_model)
    failed = in_process("run", str(config), "--out", str(out))
    assert failed.returncode == 2
    last = failed.stderr.strip().splitlines()[-1]
    assert "check.py:2: check() fails with KeyError ('gold') on a response to held_out.jsonl" in last
    assert json.loads((out / "summary.json").read_text(encoding="utf-8"))["complete"] is False

    mended = "def check(prompt, response, finished):\n    return {'short': len(response) < 9999, 'end': finished}\n"
    checker.write_text(mended, encoding="utf-8")
    done = in_process("run", str(config), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "ground truth by your own code" in done.stdout
    assert "M1  evaluation" not in done.stdout  # it goes on at the checks
    assert "(short)" in done.stdout
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["complete"] is True
    (truth,) = [model["truth"] for model in summary["models"] if model["name"] == "M1"]
    assert (truth["measure"], truth["value"]) == ("short", {"value": 1.0, "low": 0.438503, "high": 1.0, "n": 3})
    assert "Ground truth by your own code" in (out / "report.html").read_text(encoding="utf-8")
    status = json.loads(CliRunner().invoke(app, ["status", str(out), "--json"]).output)
    assert status["complete"] is True
    assert [step["state"] for step in status["steps"] if step["step"] == "M1/checks"] == ["done"]
