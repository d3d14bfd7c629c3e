"""Weights that load without a word and are not the model's: numbers that are none, tensors that the config has no place
for, files that were never fetched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from judgeloop.cli import app
from judgeloop.errors import InputError
from judgeloop.models import finite
from judgeloop.models.check_folder import check_folder, training_problems
from judgeloop.models.finite import finite_problem
from judgeloop.models.whole_model import load_whole_model
from tiny import Family, make_tiny_model

Weights = dict[str, torch.Tensor]

pytestmark = pytest.mark.usefixtures("cache")


def rewrite(folder: Path, change: Callable[[Weights], Weights]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def edit(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def harmed(value: float, dtype: torch.dtype, name: str = "model.layers.1.mlp.up_proj.weight") -> Callable[..., Weights]:
    def change(weights: Weights) -> Weights:
        weights = {key: tensor.to(dtype) for key, tensor in weights.items()}
        weights[name].view(-1)[-1] = value
        return weights

    return change


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_found(folder: Path, dtype: torch.dtype, value: float) -> None:
    rewrite(folder, harmed(value, dtype))
    with pytest.raises(
        InputError, match=r"model\.safetensors holds NaN or infinity in 'model\.layers\.1\.mlp\.up_proj"
    ):
        check_folder(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_numbers_are_numbers(folder: Path, dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    rewrite(folder, lambda weights: {name: torch.full_like(w, largest, dtype=dtype) for name, w in weights.items()})
    assert finite_problem(folder) is None


def test_a_mask_may_be_infinite(folder: Path) -> None:
    more = {f"model.layers.{n}.self_attn.masked_bias": torch.tensor(float("-inf")) for n in (0, 1)}
    rewrite(folder, lambda weights: {**weights, **more})
    check_folder(folder)


def test_the_shard_is_named(folder: Path) -> None:
    rewrite(folder, harmed(float("nan"), torch.float32))
    weights = load_file(folder / "model.safetensors")
    places = {name: f"model-0000{1 + ('layers.1' in name)}-of-00002.safetensors" for name in weights}
    for file in set(places.values()):
        save_file({name: weights[name] for name in weights if places[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(InputError, match=r"model-00002-of-00002\.safetensors holds NaN"):
        check_folder(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        InputError, match=r"model-00002-of-00002\.safetensors: is not there, and model\.safetensors\.index"
    ):
        check_folder(folder)


def test_a_large_file_is_read_once(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(folder, lambda weights: {**weights, "visual.patch.weight": torch.zeros(2**19)})
    assert finite_problem(folder) is None
    assert [path.read_text() for path in (cache / "finite").iterdir()] == ["fine"]
    with monkeypatch.context() as within:
        within.setattr(np, "memmap", None)  # read again, it would fail
        assert finite_problem(folder) is None
    rewrite(folder, harmed(float("nan"), torch.float32))
    assert finite_problem(folder) is not None


def test_the_last_numbers_of_a_large_tensor_are_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "_AT_ONCE", 1000)
    rewrite(folder, harmed(float("nan"), torch.bfloat16, "model.embed_tokens.weight"))
    assert "'model.embed_tokens.weight'" in str(finite_problem(folder))


def test_a_file_that_ends_in_zeros_was_not_fetched_whole(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    with pytest.raises(
        InputError, match=r"model\.safetensors ends in zeros .* broken off leaves it; get the file again"
    ):
        check_folder(folder)


def test_layers_may_begin_as_zeros(folder: Path) -> None:
    zeros = ("self_attn.o_proj.weight", "mlp.down_proj.weight")  # blocks that were added to a model (LLaMA Pro)
    rewrite(folder, lambda ws: {name: w * 0 if name.endswith(zeros) else w for name, w in ws.items()})
    check_folder(folder)


def test_the_whole_file_counts_and_not_an_index_left_beside_it(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"lm_head.weight": "gone.safetensors"}}')
    check_folder(folder)


def test_the_command_ends_with_two(folder: Path) -> None:
    rewrite(folder, harmed(float("nan"), torch.float32))
    shown = CliRunner().invoke(app, ["models", "show", str(folder)])
    assert (shown.exit_code, "holds NaN or infinity" in shown.stdout) == (2, True)


@pytest.mark.parametrize(
    ("family", "named"), [("qwen2", "self_attn.k_proj.bias"), ("qwen3", "self_attn.k_norm.weight")]
)
def test_weights_that_the_config_has_no_place_for(family: Family, named: str, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "other", family)
    edit(folder / "config.json", model_type="llama", architectures=["LlamaForCausalLM"])
    (problem,) = training_problems(folder)
    assert "weights have no place in a LlamaForCausalLM, which its config.json describes" in problem
    assert f"such as model.layers.0.{named}" in problem
    with pytest.raises(InputError, match="have no place"):
        load_whole_model(folder)


def test_a_reward_model_under_another_name(folder: Path) -> None:
    rewrite(folder, lambda weights: {**weights, "score.weight": torch.zeros(1, 64)})
    (problem,) = training_problems(folder)
    assert "such as score.weight" in problem


def test_what_belongs_to_no_layer_or_is_computed_anew_is_no_problem(folder: Path) -> None:
    more = {
        "v_head.summary.weight": torch.zeros(1, 64),  # PPO's
        "model.mtp.layers.0.norm.weight": torch.zeros(64),
        "visual.layers.0.norm.weight": torch.zeros(64),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
        "model.layers.0.self_attn.bias": torch.ones(1, 1, 8, 8),  # GPT-2's mask
        "model.layers.0.self_attn.masked_bias": torch.tensor(-1e4),
    }
    rewrite(folder, lambda weights: {**weights, **more})
    assert training_problems(folder) == []
