"""A whole run on a tiny random model: a config, a seed, and ways to start the command as a user does."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import yaml

from judgeloop.cli import main
from tiny import make_tiny_model

TOPICS = ("rain", "bread", "the Moon", "cats", "trains", "tea", "maps", "owls", "soap", "chess", "snow", "drums")


def write_seed(path: Path, rows: int = 12) -> Path:
    """Ranked responses to a dozen prompts."""
    lines = []
    for number in range(rows):
        topic = TOPICS[number % len(TOPICS)]
        responses = [
            {"text": f"Here is a full answer about {topic}, number {number}.", "rank": 0},
            {"text": f"{topic} is fine.", "rank": 1},
            {"text": "What?", "rank": 2},
        ]
        lines.append(json.dumps({"prompt": f"Tell me thing {number} about {topic}.", "responses": responses}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_prompts(path: Path, rows: int = 12) -> Path:
    lines = [json.dumps({"prompt": f"What would {TOPICS[n % 12]} be in year {n}?"}) for n in range(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def write_config(folder: Path, model: Path, /, **changes: object) -> Path:
    """Write a config of a run that takes seconds, with its data; keywords replace sections."""
    tree: dict[str, object] = {
        "model": str(model),
        "threads": 1,
        "engine": {"kind": "transformers", "precision": "f32"},
        "seed_data": {
            "ranked": str(write_seed(folder / "seed.jsonl")),
            "eft_share": 1.0,
            "eft": {"ift_overlap": True},
        },
        "sft": {"learning_rate": 1e-3, "batch_size": 8, "max_length": 2000, "precision": "f32"},
        "prompts": {"source": "file", "files": [str(write_prompts(folder / "prompts.jsonl"))], "count": 4},
        "candidates": {"count": 3, "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12}},
        "judge": {"rubric": "additive-5-short", "min_mass": 0.0},
        "pairs": {"unfinished": "as_judged"},
        "train": {"learning_rate": 1e-3, "batch_size": 2, "max_length": 2000, "precision": "f32"},
        "evaluation": {"count": 3, "samples": 2, "bootstrap": 50, "sampling": {"max_new_tokens": 8}},
        **changes,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


@pytest.fixture
def make_config(tmp_path: Path, tiny_model: Path) -> Callable[..., Path]:
    """Write a config of a run that takes seconds; keywords replace sections."""
    return partial(write_config, tmp_path, tiny_model)


@pytest.fixture
def judgeloop(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False
        )

    return call


@pytest.fixture
def without_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages and checks run in this process; their prints are in its log, as those of a child are."""
    from judgeloop.run import children, driver, preflight
    from judgeloop.run.check_checker import try_checker
    from judgeloop.run.directory import RunDirectory
    from judgeloop.run.stage import Step
    from judgeloop.stages.carry_out import run_stage
    from judgeloop.stages.context import Context
    from judgeloop.stages.players import check_players

    def here(run: RunDirectory, step: Step, display: driver.Display, _server: object) -> None:
        with _apart(run.path / "logs" / f"{step.model}.{step.label}.log"):
            run_stage(Context(run, step, lambda done, total, note: None))

    def look(run: RunDirectory, _server: object, module: str, *names: str) -> None:
        with _apart(run.path / "logs" / f"{module}.log"):
            if module == "check_players":
                check_players(run, [run.steps[name] for name in names])
            else:
                assert module == "check_checker"
                try_checker(run)

    monkeypatch.setattr(children, "carry_out_in_child", here)
    monkeypatch.setattr(preflight, "look", look)


@contextlib.contextmanager
def _apart(log: Path) -> Iterator[None]:
    log.parent.mkdir(exist_ok=True)
    logging.disable(logging.CRITICAL)
    try:
        with log.open("a") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(file):
            yield
    finally:
        logging.disable(logging.NOTSET)


@pytest.fixture
def in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], without_children: None
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`judgeloop` in this process, which spares a run some ten seconds of imports: for what is not about processes."""
    for name in ("COLUMNS", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, environment()[name])
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["judgeloop", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), said.out, said.err)

    return call


def command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "judgeloop", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
