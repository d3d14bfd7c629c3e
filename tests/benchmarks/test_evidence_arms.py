"""The arms of the evidence benchmark: what they change, what they share, and two of them run on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from judgeloop.config import Config, load
from judgeloop.config.user_functions import load_module
from judgeloop.jsonl import read_objects
from judgeloop.loop import method
from judgeloop.run.directory import RunDirectory
from tiny import make_tiny_model

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS, VERIFIABLE = ROOT / "benchmarks", ROOT / "configs" / "verifiable"


@pytest.fixture(scope="module")
def evidence() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    return load_module(BENCHMARKS / "evidence.py", "evidence")


def test_every_arm_is_a_config(evidence: ModuleType) -> None:
    options = evidence.parsed(["--recipe", "contrast+refresh", "--iterations", "3"])
    assert options.arms == [
        "plain", "contrast+refresh", "refresh", "contrast", "contrast+refresh+random", "contrast+refresh+imitation",
        "oracle",
    ]  # fmt: skip
    for name in {*options.arms, "main", *evidence.INGREDIENTS}:
        arm = options.known[name]
        config = load(options.config, evidence.changes(arm, 5, options, base=False))
        assert (config.seed, config.iterations) == (5, arm.each * min(3, arm.most or 3))
    both = load(options.config, evidence.changes(options.known["contrast+refresh"], 5, options, base=False))
    assert (both.judge.contrast.others, both.judge.refresh.enabled) == (2, True)
    small = load(options.config, evidence.changes(options.known["small"], 5, options, base=False))
    assert (small.prompts.count, small.evaluation.every, small.iterations) == (50, 5, 15)


def test_plain_is_what_it_is_whatever_the_config_has_by_now(evidence: ModuleType, tmp_path: Path) -> None:
    options = evidence.parsed([])
    later = tmp_path / "later.yaml"
    text = options.config.read_text(encoding="utf-8").replace("verifiable/", f"{VERIFIABLE}/")
    more = "judge:\n  refresh: {enabled: true}\n  contrast: {others: 2}\n"
    later.write_text(text.replace("judge:\n", more), "utf-8")

    def resolved(config: Path, arm: str) -> Config:
        return load(config, evidence.changes(options.known[arm], 1, options, base=False))

    assert resolved(later, "main").judge.contrast.others == 2
    assert (resolved(later, "main").sft.epochs, resolved(later, "plain").sft.epochs) == (2, 1)
    assert resolved(later, "plain") == resolved(options.config, "plain")
    assert resolved(later, "scir").judge == resolved(options.config, "plain").judge


@pytest.mark.parametrize("given", [["--arms", "contrast+nothing"], ["--define", "contrast", "seed=1"]])
def test_unknown_arms_are_named(evidence: ModuleType, given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evidence.parsed(given)
    said = capsys.readouterr().err
    assert "'nothing'" in said or "--define contrast" in said


def test_without_what_draws_the_plot_nothing_begins(
    evidence: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evidence, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="2"):
        evidence.parsed([])
    assert "plotly, which draws the plot, is not installed: pip install" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def tiny(evidence: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A tiny model's config, and the arguments of a benchmark that takes seconds with it."""
    make_tiny_model(tmp_path / "model", end_bias=18.0)
    rows = {name: (VERIFIABLE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
            for name in ("seed", "prompts", "test", "held_out_test")}  # fmt: skip
    for name, count in (("seed", 12), ("prompts", 40), ("test", 3), ("held_out_test", 2)):
        (tmp_path / f"{name}.jsonl").write_text("".join(rows[name][:count]), encoding="utf-8")
    config = tmp_path / "tiny.yaml"
    config.write_text(
        f"""model: {tmp_path / "model"}
engine: {{kind: transformers, precision: f32}}
seed_data: {{ranked: seed.jsonl, eft_share: 1.0, near_duplicate: 1.0, held_out_share: 0.2, eft: {{ift_overlap: true}}}}
sft: {{learning_rate: 1.0e-5, max_length: 2000, precision: f32}}
prompts: {{source: file, files: prompts.jsonl, max_rouge_l: 1.0}}
candidates: {{count: 4, sampling: {{temperature: 1.0, top_p: 1.0, max_new_tokens: 24}}}}
judge: {{rubric: {VERIFIABLE}/rubric.txt, min_mass: 0.0}}
pairs: {{unfinished: as_judged}}
train: {{learning_rate: 1.0e-3, batch_size: 2, max_length: 2000, precision: f32, eft_replay: 0.2}}
evaluation:
  count: 5
  samples: 2
  bootstrap: 20
  compare: scores
  checker: {VERIFIABLE}/verifiable_track.py
  sampling: {{max_new_tokens: 12}}
""",
        encoding="utf-8",
    )
    monkeypatch.setitem(evidence.PROMPTS, "fresh", (tmp_path / "test.jsonl", tmp_path / "held_out_test.jsonl"))
    return ["--config", str(config), "--out", str(tmp_path / "out"), "--iterations", "1", "--seeds", "5",
            "--threads", "1", "--define", "few", "prompts.count=4"]  # fmt: skip


@pytest.mark.long
def test_arms_share_what_they_make_alike(
    evidence: ModuleType, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    commands: list[Sequence[str]] = []
    run = subprocess.run

    def quietly(command: Sequence[str], **given: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        done = run(command, **{**given, "capture_output": True, "text": True})
        assert done.returncode == 0, done.stderr
        return done

    monkeypatch.setattr(evidence.subprocess, "run", quietly)
    options = evidence.parsed([*tiny, "--arms", "few", "few+contrast"])
    options.out.mkdir()
    evidence.carry_out(options)
    assert len(commands) == 2
    told = capsys.readouterr().out
    (taken,) = [line.split("taken over from other arms: ")[1].split(", ") for line in told.splitlines() if line]
    assert {"M0/model", "M0/eval", "M1/sft", "M1/eval", "M1/checks", "M2/prompts", "M2/candidates"} <= set(taken)
    assert not {"M2/judge", "M2/pairs", "M2/train", "M2/eval"} & set(taken)
    one, other = (options.out / f"{name}-s5" for name in ("few", "few+contrast"))
    assert (one / "M2" / "candidates.jsonl").samefile(other / "M2" / "candidates.jsonl")
    assert not (one / "M2" / "judgements.jsonl").samefile(other / "M2" / "judgements.jsonl")

    models = [row for _, row in read_objects(options.out / "models.jsonl")]
    assert [(row["arm"], row["model"], row.get("same_as")) for row in models] == [
        ("few", "M0", None), ("few", "M1", None), ("few", "M2", None),
        ("few+contrast", "M0", "few"), ("few+contrast", "M1", "few"), ("few+contrast", "M2", None),
    ]  # fmt: skip
    rows = [row for _, row in read_objects(options.out / "rows.jsonl")]
    assert len(rows) == 4 * 5 * 2  # four different models, five prompts, two answers
    evidence.carry_out(options)
    assert len(commands) == 2  # all is measured
    evidence.record(options.out, "third", 5, other, evidence.PROMPTS["fresh"])
    models = [row for _, row in read_objects(options.out / "models.jsonl") if row["arm"] == "third"]
    whose = {row["model"]: row["same_as"] for row in models}
    assert whose == {"M0": "few", "M1": "few", "M2": "few+contrast"}, "whose the rows are, not who shares them"
    evidence.show(options.out, options.known.what, "few+contrast")
    shown = capsys.readouterr().out
    assert "| few+contrast | M1 | 1 |" in shown
    assert shown.count("| few+contrast M2 − few M2 |") == 2
    assert "| difference in points on the held-out rule |" in shown
    assert (one / "M1" / "model").is_dir()
    (tmp_path / "unfinished").mkdir()
    assert evidence.share([other], tmp_path / "unfinished", options_of(evidence, "few", options))[-1] == "M2/candidates"


def options_of(evidence: ModuleType, name: str, options: Any) -> Config:
    config, _ = evidence.config_of(name, 5, options)
    return config  # type: ignore[no-any-return]


def test_a_step_is_taken_over_only_with_what_it_was_made_from(evidence: ModuleType, tmp_path: Path) -> None:
    """Two runs of one config may differ by rounding: an evaluation belongs to its own run's weights."""
    options = evidence.parsed(["--out", str(tmp_path)])
    (tmp_path / "plain-s6" / "M0").mkdir(parents=True)
    (tmp_path / "plain-s6" / "M0" / ".eval.done.json").touch()
    config = options_of(evidence, "plain", options)
    assert not config.evaluation.base
    steps = method(config)
    for name, finished in (("a", "today"), ("b", "tomorrow")):
        run = RunDirectory(tmp_path / name, config, steps)
        for step in [s for s in steps if s.name in ("M0/model", "M1/seed", "M1/sft")]:
            run.folder(step.model).mkdir(parents=True, exist_ok=True)
            if step.weights:
                (run.artifact(step.name)).mkdir()
                (run.artifact(step.name) / "config.json").touch()
            else:
                run.artifact(step.name).write_text(json.dumps({"hash": "1", "path": "x"}), encoding="utf-8")
            run.finish(step, 1.0, {"day": finished} if step.name == "M1/sft" else {})
        if name == "a":
            run.artifact("M1/eval").write_text("{}", encoding="utf-8")
            run.finish(run.steps["M1/eval"], 1.0, {})
    assert evidence.share([tmp_path / "a"], tmp_path / "b", config) == []
    taken = evidence.share([tmp_path / "a"], tmp_path / "c", config)
    assert taken == ["M0/model", "M1/seed", "M1/sft", "M1/eval"]


def test_the_first_model_is_measured_by_one_seed(evidence: ModuleType, tmp_path: Path) -> None:
    options = evidence.parsed(["--out", str(tmp_path)])
    base = {name: options_of(evidence, name, options).evaluation.base for name in ("plain", "contrast", "sampled")}
    assert base == {"plain": True, "contrast": True, "sampled": False}  # another judge would read M0's answers anew
    (tmp_path / "plain-s6" / "M0").mkdir(parents=True)
    (tmp_path / "plain-s6" / "M0" / ".eval.done.json").touch()
    assert not options_of(evidence, "plain", options).evaluation.base
    (tmp_path / "plain-s5" / "M0").mkdir(parents=True)
    (tmp_path / "plain-s5" / "M0" / ".eval.begun.json").touch()
    assert options_of(evidence, "contrast", options).evaluation.base  # it goes on as it began


def test_weights_that_another_arm_shares_stay(evidence: ModuleType, tmp_path: Path) -> None:
    options = evidence.parsed(["--out", str(tmp_path), "--iterations", "2", "--arms", "plain", "contrast"])
    assert evidence.keep("plain", 5, options) >= {"M1", "M3"}
    assert "M2" not in evidence.keep("contrast", 5, evidence.parsed(["--out", str(tmp_path), "--arms", "plain"]))
    for model in ("M1", "M2", "M3"):
        (tmp_path / "run" / model / "model").mkdir(parents=True)
    evidence.forget_weights(tmp_path / "run", {"M1", "M3"})
    assert [(tmp_path / "run" / model / "model").is_dir() for model in ("M1", "M2", "M3")] == [True, False, True]
