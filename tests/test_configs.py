"""Every config that ships: it loads, and its method goes on from M1."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from judgeloop.config import load
from judgeloop.judging.rubric import load_rubric
from judgeloop.loop import method

FOLDER = Path(__file__).resolve().parents[1] / "configs"
CONFIGS = sorted(FOLDER.glob("*.yaml"))


def test_the_named_configs_ship() -> None:
    real = {"qwen3-1.7b-gpu", "llama3-8b-gpu", "qwen3-8b-8gpu", "paper-llama2-70b"}
    assert {"quickstart", "oasst-cpu", "verifiable-cpu", *real} <= {path.stem for path in CONFIGS}


def test_the_papers_config_has_the_papers_figures() -> None:
    """arXiv 2401.10020, section 3 and appendix; what the paper does not say is not tested."""
    config = load(FOLDER / "paper-llama2-70b.yaml")
    rates = [(s.learning_rate, s.learning_rate * s.lr_min) for s in (config.sft, config.train)]
    assert rates == [pytest.approx((5.5e-6, 1.1e-6)), pytest.approx((1e-6, 1e-7))]
    for section in (config.sft, config.train):
        assert (section.schedule, section.batch_size, section.dropout) == ("cosine", 16, 0.1)
    assert (config.train.loss, config.train.beta, config.train.early_stopping.every) == ("dpo", 0.1, 200)
    prompts, candidates, judge = config.prompts, config.candidates, config.judge
    assert (prompts.seed_demonstrations, prompts.own_demonstrations, prompts.max_rouge_l) == (6, 2, 0.7)
    assert (prompts.sampling.temperature, prompts.sampling.top_p) == (0.6, 0.9)
    assert (candidates.count, candidates.sampling.temperature, candidates.sampling.top_p) == (4, 0.7, 0.9)
    assert (judge.scoring, judge.samples, judge.sampling.temperature, judge.sampling.top_p) == ("sampled", 3, 0.7, 0.9)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_loads_and_the_loop_goes_on_from_m1(path: Path) -> None:
    config = load(path)
    made = [step.model for step in method(config) if step.artifact == "model"]
    assert made[:2] == ["M1", "M2"]
    load_rubric(config.judge.rubric, config.judge.language)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_files_that_ship_beside_it_are_there(path: Path) -> None:
    config = load(path)
    named = [*config.seed_data.ift, *config.seed_data.ranked, *config.prompts.files, *config.evaluation.prompts]
    ours = [Path(name) for name in named if Path(name).is_relative_to(FOLDER)]
    assert all(file.is_file() for file in ours)
    assert named


def test_a_wheel_alone_finds_them_by_name(tmp_path: Path) -> None:
    """The package laid out as pyproject.toml has the wheel, away from the repository."""
    root = FOLDER.parent
    wheel = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    for package in wheel["wheel"]["packages"]:
        shutil.copytree(root / package, tmp_path / "site" / Path(package).name)
    for source, target in wheel["wheel"]["force-include"].items():
        shutil.copytree(root / source, tmp_path / "site" / target)
    program = (
        "import sys; from judgeloop.commands.arguments import config_path; from judgeloop.config import load\n"
        "for name in sys.argv[1:]: path = config_path(name); load(path); print(path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *(path.stem for path in CONFIGS)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [Path(line) for line in done.stdout.splitlines()]
    assert found == [tmp_path / "site/judgeloop/configs" / path.name for path in CONFIGS]
