"""A third of `benchmarks/matrix.py`: architectures of every kind, through all that a run does with a model."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType

import pytest

from judgeloop.config.user_functions import load_module

MATRIX = Path(__file__).resolve().parents[2] / "benchmarks" / "matrix.py"


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    return load_module(MATRIX, "matrix")


def test_there_are_at_least_sixteen(matrix: ModuleType) -> None:
    assert len({made.model_type for made in matrix.ARCHITECTURES.values()}) >= 16


@pytest.mark.parametrize(
    "name", ["Llama 2 (base)", "Qwen3", "Qwen3-MoE", "Gemma 2", "Mistral", "gpt-oss", "GPT-NeoX (base)"]
)
def test_it_works(matrix: ModuleType, name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, about architectures
        found = matrix.examine(name, tmp_path / "model")
    assert found == dict.fromkeys(matrix.COLUMNS, "yes")
