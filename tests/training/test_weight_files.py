from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from judgeloop.config import SftSection
from judgeloop.models.chat import Chat
from judgeloop.training import distributed, weight_files
from judgeloop.training.arguments import settings_that_matter
from judgeloop.training.sft import train_sft
from judgeloop.training.shard_loading import Filler, empty_model
from judgeloop.training.weight_files import can_merge_by_layer, write_weights
from judgeloop.training.weights import load_model, save_model

from .cases import PEFT_WARNS, make_row


def all_weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


def test_files_of_limited_size_hold_what_one_file_holds(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(model_folder)
    for folder in ("one", "many"):
        (tmp_path / folder).mkdir()
        write_weights(model, tmp_path / folder)
        monkeypatch.setattr(weight_files, "_FILE_BYTES", 40_000)
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["model.safetensors"]
    model.save_pretrained(str(tmp_path / "theirs"))
    theirs = load_file(tmp_path / "theirs" / "model.safetensors")
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    files = set(index["weight_map"].values())
    assert len(files) > 2
    assert files == {path.name for path in (tmp_path / "many").glob("*.safetensors")}
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in theirs.values())
    for folder in ("one", "many"):
        found = all_weights(tmp_path / folder)
        assert found.keys() == theirs.keys()
        assert all(torch.equal(found[name], value) for name, value in theirs.items())


@PEFT_WARNS
def test_adapters_are_merged_weight_by_weight(model_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(load_model(model_folder), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    assert can_merge_by_layer(model)
    write_weights(model, tmp_path)
    merged = model.merge_and_unload()
    found = load_file(tmp_path / "model.safetensors")
    merged.save_pretrained(str(tmp_path / "theirs"))
    theirs = load_file(tmp_path / "theirs" / "model.safetensors")
    assert found.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=0)


@PEFT_WARNS
def test_adapters_of_another_kind_are_not(model_folder: Path) -> None:
    config = LoraConfig(r=4, target_modules="all-linear", use_dora=True, task_type="CAUSAL_LM")
    assert not can_merge_by_layer(get_peft_model(load_model(model_folder), config))


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=PEFT_WARNS)])
def test_rounded_weights_are_the_trained_ones_rounded(
    model_folder: Path, tmp_path: Path, chat: Chat, method: str
) -> None:
    for kind in ("f32", "bf16"):
        train_sft(
            [make_row(i) for i in range(3)], initial=model_folder, output=tmp_path / kind / "model", chat=chat, seed=0,
            config=SftSection(precision="f32", learning_rate=1e-2, method=method, save_dtype=kind), threads=None,
            on_progress=lambda _done, _total: None, on_metrics=lambda _values: None,
        )  # fmt: skip
    exact, rounded = (load_file(tmp_path / kind / "model" / "model.safetensors") for kind in ("f32", "bf16"))
    assert {value.dtype for value in rounded.values()} == {torch.bfloat16}
    assert exact.keys() == rounded.keys()
    assert all(torch.equal(value.bfloat16(), rounded[name]) for name, value in exact.items())
    configs = [json.loads((tmp_path / kind / "model" / "config.json").read_text()) for kind in ("f32", "bf16")]
    assert [config.pop("dtype") for config in configs] == ["float32", "bfloat16"]
    assert configs[0] == configs[1]
    files = [{path.name for path in (tmp_path / kind / "model").iterdir()} for kind in ("f32", "bf16")]
    assert files[0] == files[1]
    AutoModelForCausalLM.from_pretrained(tmp_path / "bf16" / "model", use_safetensors=True)


def test_a_checkpoint_is_gone_on_with_whatever_the_files_will_be() -> None:
    assert settings_that_matter(SftSection(save_dtype="bf16")) == settings_that_matter(SftSection())


def test_a_layer_gets_its_numbers_when_it_is_asked_for(model_folder: Path, tmp_path: Path, chat: Chat) -> None:
    whole, empty = load_model(model_folder), empty_model(model_folder, dtype=torch.float32)
    assert empty.generation_config.to_dict() == whole.generation_config.to_dict()
    filler = Filler(empty)
    layer = empty.model.layers[0]
    filler.fill(layer)
    left = {name for name, parameter in empty.named_parameters() if parameter.is_meta}
    assert left == {name for name, _ in whole.named_parameters() if not name.startswith("model.layers.0.")}
    filler.fill(empty)
    assert empty.lm_head.weight is empty.model.embed_tokens.weight
    for name, parameter in whole.named_parameters():
        assert torch.equal(empty.get_parameter(name), parameter)
    inputs = {"input_ids": torch.tensor([[1, 2, 3, 4]])}
    assert torch.equal(empty(**inputs).logits, whole(**inputs).logits)


def test_a_model_whose_files_name_other_tensors_is_loaded_whole(
    model_folder: Path, tmp_path: Path, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(model_folder)
    save_model(model, tmp_path / "model", initial=model_folder, chat=chat)
    weights = load_file(tmp_path / "model" / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()  # tied by the config, and in the files too
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    assert empty_model(tmp_path / "model", dtype=torch.float32) is None
    monkeypatch.setattr(distributed, "sharded", lambda: True)
    loaded = load_model(tmp_path / "model", by_layer=True)
    assert not any(parameter.is_meta for parameter in loaded.parameters())
