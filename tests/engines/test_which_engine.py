"""What no engine here can run is refused before a model is loaded, and before a run begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from judgeloop.config import EngineSection
from judgeloop.engines import pick, require_engine
from judgeloop.engines.kinds import VLLM
from judgeloop.errors import InputError
from judgeloop.models.show import report
from tiny import make_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = make_tiny_model(tmp_path / "model")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "model_type": "rwkv"}))
    return path


@pytest.mark.skipif(VLLM.missing() is None, reason="vLLM is installed, which may run it")
def test_auto_says_why_none_can_run_it(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"auto finds no engine .*a rwkv model keeps what it has read .*; give another model"
    ):
        pick(folder)


def test_an_engine_that_cannot_run_it_says_which_may(folder: Path) -> None:
    with pytest.raises(InputError, match=r"transformers cannot run .* keeps what it has read .*; set it to vllm if"):
        require_engine(EngineSection(kind="transformers"), folder)


def test_a_model_that_nothing_runs_has_a_problem(tmp_path: Path) -> None:
    def none(_: Path) -> str:
        raise InputError("engine.kind: auto finds no engine")

    found = report(str(make_tiny_model(tmp_path / "model")), none)
    assert (found.engine, found.problems) == (None, ["engine.kind: auto finds no engine"])
