"""A finished run on a tiny model, made once."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
from pathlib import Path

import pytest

from e2e.conftest import write_prompts, write_seed
from judgeloop.config import parse
from judgeloop.run import children, driver
from judgeloop.run.directory import RunDirectory
from judgeloop.run.stage import Step
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from tiny import make_tiny_model

LICENCE = "MIT License\n\nCopyright (c) somebody\n"


class Silent:
    def __getattr__(self, _: str) -> object:
        return lambda *_, **__: None


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """M1 and M2 of a model whose folder has a licence."""
    root = tmp_path_factory.mktemp("export")
    base = make_tiny_model(root / "tiny", "qwen2")
    (base / "LICENSE").write_text(LICENCE, encoding="utf-8")
    tree = {
        "model": str(base), "threads": 1, "iterations": 1,
        "engine": {"kind": "transformers", "precision": "f32"},
        "seed_data": {"ranked": str(write_seed(root / "seed.jsonl")), "eft_share": 1.0, "eft": {"ift_overlap": True}},
        "sft": {"learning_rate": 1e-3, "batch_size": 8, "max_length": 2000, "precision": "f32"},
        "prompts": {"source": "file", "files": [str(write_prompts(root / "prompts.jsonl"))], "count": 4},
        "candidates": {"count": 3, "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12}},
        "judge": {"rubric": "additive-5-short", "min_mass": 0.0}, "pairs": {"unfinished": "as_judged"},
        "train": {"learning_rate": 1e-3, "batch_size": 2, "max_length": 2000, "precision": "f32"},
        "evaluation": {"base": False, "count": 3, "samples": 2, "bootstrap": 50, "sampling": {"max_new_tokens": 8}},
        "health": {"stop_on": []},
    }  # fmt: skip

    def here(run: RunDirectory, step: Step, _display: driver.Display, _server: object) -> None:
        logging.disable(logging.CRITICAL)
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                run_stage(Context(run, step, lambda *_: None))
        finally:
            logging.disable(logging.NOTSET)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(children, "carry_out_in_child", here)
        driver.execute(parse(tree, "test"), root / "run", Silent())  # type: ignore[arg-type]
    return root / "run"


@pytest.fixture
def finished(made: Path, tmp_path: Path) -> Path:
    """A copy of the run, to change."""
    shutil.copytree(made, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
