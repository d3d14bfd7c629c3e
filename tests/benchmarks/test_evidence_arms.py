"""What the arms of the evidence benchmark share with the main arm."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import ModuleType

import pytest

from judgeloop.config.user_functions import load_module

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FILES = (
    "M0/model.json", "M1/model/weights", "M1/.sft.done.json", "M1/eval.json", "M1/.checks.done.json",
    "M2/prompts.jsonl", "M2/candidates.jsonl", "M2/.judge.done.json", "M2/judgements.jsonl", "M2/pairs.jsonl",
    "M2/.pairs.done.json", "M2/model/weights", "M2/eval.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def evidence() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    return load_module(BENCHMARKS / "evidence.py", "evidence")


def test_an_arm_shares_what_it_does_not_change(evidence: ModuleType, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / "main" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "main" / name).write_text(name, encoding="utf-8")

    def shared(arm: object, folder: str) -> set[str]:
        evidence.share(tmp_path / "main", tmp_path / folder, arm)
        found = (path for path in (tmp_path / folder).rglob("*") if path.is_file())
        return {path.relative_to(tmp_path / folder).as_posix() for path in found} - {".lock"}

    own = set(FILES[:3])
    assert shared(evidence.Arm("another judge", shares_eval=False), "a") == own
    assert shared(evidence.Arm("other prompts"), "b") == own | set(FILES[3:5])
    assert shared(evidence.Arm("another loss", shares_judged=True), "c") == own | set(FILES[3:9])
    (tmp_path / "c" / "M1" / "eval.json").unlink()
    (tmp_path / "c" / "M1" / "eval.json").write_text("its own", encoding="utf-8")
    shared(evidence.Arm("another loss", shares_judged=True), "c")
    assert (tmp_path / "c" / "M1" / "eval.json").read_text(encoding="utf-8") == "its own"


def test_the_first_seed_of_every_arm_comes_first(evidence: ModuleType) -> None:
    order = evidence.plan(["main", "oracle", "random"], [1, 2])
    assert order == [("main", 1), ("oracle", 1), ("random", 1), ("main", 2), ("random", 2)]


def test_the_first_model_is_measured_once(
    evidence: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And by the main arm's kind of judge: another kind would spend minutes on what no table shows."""
    commands: list[list[str]] = []
    monkeypatch.setattr(evidence.subprocess, "run", lambda command, **_given: commands.append(command))
    monkeypatch.setattr(evidence, "share", lambda *_given: None)
    monkeypatch.setattr(evidence, "measured", lambda _out: {("main", 1, "M0")})
    options = argparse.Namespace(out=tmp_path, config=Path("x.yaml"), iterations=1, threads=None)
    for name, seed in (("main", 1), ("main", 2), ("random", 1), ("sampled", 1), ("no_eft", 1)):
        evidence.run_arm(name, seed, options)
    told = [next(item for item in command if item.startswith("evaluation.base=")) for command in commands]
    assert [item.split("=")[1] for item in told] == ["true", "false", "true", "false", "false"]
