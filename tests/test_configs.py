"""Every config that ships: it loads, and its method goes on from M1."""

from __future__ import annotations

from pathlib import Path

import pytest

from judgeloop.config import load
from judgeloop.judging.rubric import load_rubric
from judgeloop.loop import method

FOLDER = Path(__file__).resolve().parents[1] / "configs"
CONFIGS = sorted(FOLDER.glob("*.yaml"))


def test_the_named_configs_ship() -> None:
    assert {"quickstart", "oasst-cpu", "verifiable-cpu"} <= {path.stem for path in CONFIGS}


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
