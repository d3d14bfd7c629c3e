"""A third of `benchmarks/matrix.py`: architectures of every kind, through all that a run does with a model, and two
whole runs."""

from __future__ import annotations

import json
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
from transformers import AutoTokenizer

from judgeloop.config.user_functions import load_module
from tiny import Splitting, write_tokenizer

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
OPENVINO = {"Llama 3.2": "8/8", "Qwen3": "8/8"}  # which others this engine does not run is said by a sentence


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    return load_module(BENCHMARKS / "matrix.py", "matrix")


def test_there_are_at_least_sixteen(matrix: ModuleType) -> None:
    assert len({made.model_type for made in matrix.ARCHITECTURES.values()}) >= 16


@pytest.mark.parametrize(
    "name",
    [
        "Llama 2 (base)",
        "Llama 3.2",
        "Qwen3",
        "Qwen3-MoE",
        "Gemma 2",
        "Mistral",
        "gpt-oss",
        "GPT-NeoX (base)",
        "Mamba 2 (base)",
        "Falcon-H1 (base)",
        "Granite 4 hybrid",
        "Gemma 4",
    ],
)
def test_it_works(matrix: ModuleType, name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, about architectures
        found = matrix.examine(name, tmp_path / "model")
    engine = found.pop("OpenVINO")
    assert set(found.values()) == {"yes"}
    assert engine == OPENVINO.get(name) or engine.startswith("no: ")


def test_experts_whose_config_asks_for_the_routers_loss_generate(matrix: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    template = matrix.make("Qwen3-MoE", folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "output_router_logits": True}), encoding="utf-8")
    assert matrix.COLUMNS["greedy"](folder, template) == "yes"


@pytest.mark.parametrize(
    ("name", "loop"),
    [
        ("Qwen3", ("full", "sampled")),
        pytest.param("Mistral", ("lora", "expected"), marks=pytest.mark.long),
    ],
)
def test_a_whole_run(matrix: ModuleType, name: str, loop: tuple[str, str]) -> None:
    found = matrix.loop_in_a_process(name, loop)
    counts = re.fullmatch(r"yes: (\d+) of (\d+) scores read, (\d+) pairs", found)
    assert counts, found
    read, judged, pairs = map(int, counts.groups())
    assert judged == (32 if loop[1] == "sampled" else 16)
    assert read >= judged / 2
    assert pairs >= 1


def test_what_ends_a_process_is_named(matrix: ModuleType) -> None:
    assert matrix.loop_in_a_process("none", ("full", "expected")).startswith("ended with 1: none: not one of Llama 2")


@pytest.mark.parametrize(
    ("splitting", "first"),
    [("bytes", "The"), ("llama", "▁The"), ("gemma", "The"), ("unigram", "▁")],
)
def test_text_is_split_as_the_family_does(splitting: Splitting, first: str, tmp_path: Path) -> None:
    size = write_tokenizer(tmp_path, None, splitting=splitting)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == size
    text = "The sky: héllo\n world  is 3."
    tokens = tokenizer.tokenize(text)
    assert tokens[0] == first
    assert ("<0xC3>" in tokens) == (splitting != "bytes")  # no character is unknown
    assert tokenizer.decode(tokenizer.convert_tokens_to_ids(tokens)) == text
