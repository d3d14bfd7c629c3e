from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file, save_file

from judgeloop.errors import InputError
from judgeloop.models.gguf_export import llama3_rope_factors, supports, write_gguf
from tiny import Family, make_tiny_model


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads((folder / name).read_text(encoding="utf-8"))
    change(value)
    (folder / name).write_text(json.dumps(value), encoding="utf-8")


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    reader = GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_every_weight_is_there_with_its_value(family: Family, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model", family)
    fields, tensors = read(write_gguf(folder, tmp_path / "out" / "model.gguf"))
    source = load_file(folder / "model.safetensors")
    assert len(tensors) == len(source)
    assert fields["general.architecture"] == family
    assert fields[f"{family}.attention.head_count_kv"] == 2
    np.testing.assert_array_equal(tensors["token_embd.weight"].data, source["model.embed_tokens.weight"])
    np.testing.assert_array_equal(tensors["blk.1.attn_v.weight"].data, source["model.layers.1.self_attn.v_proj.weight"])
    assert tensors["blk.0.ffn_up.weight"].data.dtype == np.float16
    assert tensors["blk.0.ffn_norm.weight"].data.dtype == np.float32
    query = source["model.layers.0.self_attn.q_proj.weight"]
    if family == "llama":  # a head of 16 rows: 0 8 1 9 2 10 …
        order = [head * 16 + half * 8 + pair for head in range(4) for pair in range(8) for half in range(2)]
        np.testing.assert_array_equal(tensors["blk.0.attn_q.weight"].data, query[order])
    else:
        np.testing.assert_array_equal(tensors["blk.0.attn_q.weight"].data, query)
    assert ("output.weight" in tensors) == (family == "qwen2")
    assert ("blk.0.attn_k.bias" in tensors) == (family == "qwen2")
    assert ("blk.0.attn_k_norm.weight" in tensors) == (family == "qwen3")


def test_the_tokenizer_comes_with_it(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    edit(folder, "config.json", lambda c: c.update(vocab_size=450))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"] = np.zeros((450, 64), np.float32)
    save_file(tensors, folder / "model.safetensors")
    size = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])

    def add(tokenizer: dict[str, Any]) -> None:
        plain = {**tokenizer["added_tokens"][0], "id": size, "content": "<tool>", "special": False}
        tokenizer["added_tokens"].append(plain)

    edit(folder, "tokenizer.json", add)
    fields, _ = read(write_gguf(folder, tmp_path / "model.gguf"))
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == 450
    assert tokens[:3] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    assert types[:4] == [3, 3, 3, 1]  # control, control, control, normal
    assert (tokens[size], types[size]) == ("<tool>", 4)  # user-defined
    assert (tokens[449], types[449]) == ("[PAD449]", 5)  # unused
    assert fields["tokenizer.ggml.pre"] == "smollm"
    merges = json.loads((folder / "tokenizer.json").read_text())["model"]["merges"]
    assert fields["tokenizer.ggml.merges"] == [" ".join(merge) for merge in merges]
    assert [fields[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos", "padding")] == [1, 2, 0]
    assert "im_start" in fields["tokenizer.chat_template"]
    assert fields["tokenizer.ggml.add_bos_token"] is False


def test_shards_bfloat16_and_half_precision_are_read(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file as save_torch

    folder = make_tiny_model(tmp_path / "model")
    source = {name: torch.from_numpy(value) for name, value in load_file(folder / "model.safetensors").items()}
    names = sorted(source)
    shards = {"a.safetensors": names[:7], "b.safetensors": names[7:]}
    kinds = {"a.safetensors": torch.bfloat16, "b.safetensors": torch.float16}
    for shard, members in shards.items():
        save_torch({name: source[name].to(kinds[shard]) for name in members}, folder / shard)
    (folder / "model.safetensors").unlink()
    weight_map = {name: shard for shard, members in shards.items() for name in members}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    _, tensors = read(write_gguf(folder, tmp_path / "model.gguf"))
    embedding = source["model.embed_tokens.weight"].to(torch.bfloat16).to(torch.float16)
    np.testing.assert_array_equal(tensors["token_embd.weight"].data, embedding.numpy())
    last = source["model.layers.1.self_attn.v_proj.weight"]
    np.testing.assert_array_equal(tensors["blk.1.attn_v.weight"].data, last.numpy())


def test_llama3_rope_factors_equal_transformers(tmp_path: Path) -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    }
    values = {"hidden_size": 256, "num_attention_heads": 4, "head_dim": 64, "rope_parameters": scaling}
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](LlamaConfig(**values, max_position_embeddings=2048), "cpu")
    plain = 500000.0 ** -(np.arange(0, 64, 2) / 64)
    np.testing.assert_allclose(plain / llama3_rope_factors(values), scaled.numpy(), rtol=1e-5)

    folder = make_tiny_model(tmp_path / "model")
    edit(folder, "config.json", lambda c: c.update(rope_parameters=scaled_for_tiny(scaling)))
    _, tensors = read(write_gguf(folder, tmp_path / "model.gguf"))
    assert tensors["rope_freqs.weight"].data.shape == (8,)


def scaled_for_tiny(scaling: dict[str, Any]) -> dict[str, Any]:
    return {**scaling, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_type": "gpt2"}, "model family 'gpt2'"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope type 'yarn'"),
        ({"use_sliding_window": True}, "sliding-window"),
        ({"attention_bias": True}, "biases"),
        ({"hidden_act": "gelu"}, "activation 'gelu'"),
        ({"quantization_config": {}}, "quantised"),
    ],
)
def test_other_models_are_refused_with_the_reason(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    assert supports(folder) is None
    edit(folder, "config.json", lambda c: c.update(change))
    assert reason in (supports(folder) or "")
    with pytest.raises(InputError, match=reason):
        write_gguf(folder, tmp_path / "model.gguf")


def test_other_tokenizers_are_refused(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    edit(folder, "tokenizer.json", lambda t: t.update(pre_tokenizer=None))
    assert "byte-level" in (supports(folder) or "")
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json" in (supports(folder) or "")


@pytest.mark.parametrize("case", ["overflow", "missing", "unknown", "tokens", "torn"])
def test_a_broken_folder_leaves_no_file_behind(case: str, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    if case == "overflow":
        tensors["model.embed_tokens.weight"][5, 5] = 1e6
        expected = "float16 cannot hold"
    elif case == "missing":
        del tensors["model.layers.1.mlp.up_proj.weight"]
        expected = "lack blk.1.ffn_up.weight"
    elif case == "unknown":
        tensors["model.layers.1.extra.weight"] = np.zeros(3, np.float32)
        expected = "unknown tensor 'model.layers.1.extra.weight'"
    elif case == "tokens":
        edit(folder, "config.json", lambda c: c.update(vocab_size=100))
        expected = "more tokens than the model's 100"
    else:
        expected = "cannot be read as safetensors"
    save_file(tensors, folder / "model.safetensors")
    if case == "torn":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=expected), np.errstate(over="ignore"):
        write_gguf(folder, tmp_path / "out" / "model.gguf")
    assert list((tmp_path / "out").iterdir()) == []
