"""Write a Hugging Face folder as one GGUF file, for OpenVINO GenAI, llama.cpp, Ollama and LM Studio.

Llama, Qwen2 and Qwen3 families with a byte-level BPE tokenizer. The weights are read straight from the safetensors
files, tensor by tensor, so neither torch nor the model is loaded and memory stays at one tensor.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judgeloop.errors import InputError
from judgeloop.models.facts import TensorHeader, read_config, tensor_headers
from judgeloop.models.gguf_tokenizer import pipeline_steps, write_tokenizer

FAMILIES = {"llama": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}
TYPES = ("f16", "bf16", "f32", "q8_0")
ROPE_TYPES = ("default", "linear", "llama3")


def supports(folder: Path) -> str | None:
    """None if `write_gguf` can write this model folder, else the reason why not."""
    config = read_config(folder)
    family = config.get("model_type")
    if family not in FAMILIES:
        return f"model family '{family}' is not one of {', '.join(FAMILIES)}"
    if "quantization_config" in config:
        return "its weights are quantised"
    if config.get("hidden_act", "silu") != "silu":
        return f"activation '{config['hidden_act']}' instead of silu"
    if config.get("use_sliding_window"):
        return "it uses sliding-window attention"
    if family == "llama" and (config.get("attention_bias") or config.get("mlp_bias")):
        return "it is a Llama with biases"
    if rope(config)["rope_type"] not in ROPE_TYPES:
        return f"rope type '{rope(config)['rope_type']}' is not one of {', '.join(ROPE_TYPES)}"
    if not (folder / "tokenizer.json").is_file():
        return "it has no tokenizer.json"
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    if tokenizer["model"].get("type") != "BPE" or not any(
        step.get("type") == "ByteLevel" for step in pipeline_steps(tokenizer.get("pre_tokenizer"))
    ):
        return "its tokenizer is not byte-level BPE"
    return None


def write_gguf(folder: Path, out: Path, kind: str = "f16", chat_template: str | None = None) -> Path:
    """Write the model in `folder` as a GGUF file at `out`, in one step, and return `out`.

    Matrices are of `kind` (`TYPES`; one whose rows are no whole blocks of q8_0 stays float16), vectors (norms, biases)
    float32. `chat_template` is written in place of the folder's own. Raises InputError if the model is of another kind,
    a tensor is missing or unknown, or a weight is beyond float16's range.
    """
    import gguf

    reason = supports(folder)
    if reason is not None:
        raise InputError(f"{folder}: cannot be written as GGUF, {reason}; use the Hugging Face folder itself")
    config = read_config(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")
    writer = gguf.GGUFWriter(partial, gguf.MODEL_ARCH_NAMES[_architecture(config)])
    try:
        _write_hyperparameters(writer, config, folder, kind)
        write_tokenizer(writer, config, folder, chat_template)
        tensors = _gguf_tensors(folder, config, kind)
        for name, tensor in tensors.items():
            raw = gguf.quant_shape_to_byte_shape(tensor.shape, tensor.type) if tensor.packed else tensor.shape
            writer.add_tensor_info(name, raw, np.dtype(tensor.dtype), tensor.bytes, tensor.type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, tensor in tensors.items():
            data = tensor.read()
            if not tensor.packed:
                data = data.astype(tensor.dtype)
            if not np.isfinite(data).all():
                raise InputError(f"{folder}: '{name}' has values float16 cannot hold; set engine.kind to transformers")
            writer.write_tensor_data(gguf.quantize(data.astype(np.float32), tensor.type) if tensor.packed else data)
        writer.close()
        partial.replace(out)
    except BaseException:
        with contextlib.suppress(OSError):
            writer.close()
        partial.unlink(missing_ok=True)
        raise
    return out


def rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary embedding's parameters as transformers 5 writes them, from its form or the older one."""
    old = config.get("rope_scaling") or {}
    found = {"rope_theta": config.get("rope_theta", 10000.0), **old, **(config.get("rope_parameters") or {})}
    return {**found, "rope_type": found.get("rope_type") or found.get("type") or "default"}


def _architecture(config: dict[str, Any]) -> Any:
    import gguf

    return getattr(gguf.MODEL_ARCH, FAMILIES[config["model_type"]])


def _head_size(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _write_hyperparameters(writer: Any, config: dict[str, Any], folder: Path, kind: str) -> None:
    import gguf

    head = _head_size(config)
    writer.add_name(folder.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config.get("num_key_value_heads") or config["num_attention_heads"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(rope(config)["rope_theta"]))
    if rope(config)["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope(config)["factor"]))
    writer.add_vocab_size(config["vocab_size"])
    named = "ALL_F32" if kind == "f32" else f"MOSTLY_{kind.upper()}"
    writer.add_file_type(gguf.LlamaFileType[named])
    if kind == "q8_0":
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


@dataclass(frozen=True)
class _Tensor:
    """A tensor to write: its shape, GGUF's type of it, and how to read it (float32 or float16)."""

    shape: tuple[int, ...]
    type: Any
    read: Callable[[], NDArray[Any]]

    @property
    def packed(self) -> bool:
        """Whether numpy has no type for it: bfloat16, blocks of q8_0."""
        return self.type.name not in ("F16", "F32")

    @property
    def dtype(self) -> type[np.float16] | type[np.float32] | type[np.uint8]:
        return np.uint8 if self.packed else np.float16 if self.type.name == "F16" else np.float32

    @property
    def bytes(self) -> int:
        import gguf

        block, size = gguf.GGML_QUANT_SIZES[self.type]
        return math.prod(self.shape) // int(block) * int(size)


def _type(shape: tuple[int, ...], kind: str) -> Any:
    """GGUF's type of a tensor in a file of this kind."""
    import gguf

    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    found = gguf.GGMLQuantizationType[kind.upper()]
    return found if shape[-1] % gguf.GGML_QUANT_SIZES[found][0] == 0 else gguf.GGMLQuantizationType.F16


def _gguf_tensors(folder: Path, config: dict[str, Any], kind: str) -> dict[str, _Tensor]:
    import gguf

    names = gguf.get_tensor_name_map(_architecture(config), config["num_hidden_layers"])
    heads = config["num_attention_heads"]
    rows_of = {"q_proj": heads, "k_proj": config.get("num_key_value_heads") or heads}
    tensors: dict[str, _Tensor] = {}
    for tensor in tensor_headers(folder):
        name, shape, read = tensor.name, tensor.shape, _reader(tensor)
        if name.endswith("rotary_emb.inv_freq"):
            continue  # old checkpoints store what the config says
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise InputError(f"{folder}: unknown tensor '{name}'; the GGUF writer does not know this model")
        module = name.rsplit(".", 2)[-2]
        if config["model_type"] == "llama" and module in rows_of:
            read = _interleaved(read, rows_of[module])
        tensors[target] = _Tensor(shape, _type(shape, kind), read)
    needed = ["token_embd.weight", "output_norm.weight"]
    needed += [] if config.get("tie_word_embeddings") else ["output.weight"]
    parts = ("attn_q", "attn_k", "attn_v", "attn_output", "attn_norm", "ffn_gate", "ffn_up", "ffn_down", "ffn_norm")
    needed += [f"blk.{i}.{part}.weight" for i in range(config["num_hidden_layers"]) for part in parts]
    missing = [name for name in needed if name not in tensors]
    if missing:
        raise InputError(f"{folder}: its safetensors lack {missing[0]} ({len(missing)} missing); restore the folder")
    if rope(config)["rope_type"] == "llama3":
        factors = llama3_rope_factors(config)
        tensors["rope_freqs.weight"] = _Tensor(factors.shape, gguf.GGMLQuantizationType.F32, lambda: factors)
    return tensors


def _interleaved(read: Callable[[], NDArray[Any]], heads: int) -> Callable[[], NDArray[Any]]:
    """Rows of a query or key projection in llama.cpp's order for Llama: a rotated pair's two rows side by side."""

    def permuted() -> NDArray[Any]:
        rows = read()
        return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)

    return permuted


def llama3_rope_factors(config: dict[str, Any]) -> NDArray[np.float32]:
    """By what Llama 3.1 divides each rotary frequency (head size / 2 numbers): long waves by `factor`, short ones by 1,
    those between by a blend."""
    values = rope(config)
    exponents = np.arange(0, _head_size(config), 2, dtype=np.float64) / _head_size(config)
    frequencies = float(values["rope_theta"]) ** -exponents
    turns = values["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    low, high = values["low_freq_factor"], values["high_freq_factor"]
    blend = np.clip((turns - low) / (high - low), 0, 1)
    factors: NDArray[np.float32] = (1 / ((1 - blend) / values["factor"] + blend)).astype(np.float32)
    return factors


def _reader(tensor: TensorHeader) -> Callable[[], NDArray[Any]]:
    """How to read a tensor's values; bfloat16 is widened to float32."""
    kinds = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
    if tensor.dtype not in kinds:
        raise InputError(f"{tensor.file}: tensor '{tensor.name}' is {tensor.dtype}; save the model as bf16, f16 or f32")
    kind = kinds[tensor.dtype]

    def read() -> NDArray[Any]:
        count = math.prod(tensor.shape)
        data = np.fromfile(tensor.file, dtype=kind, count=count, offset=tensor.offset).reshape(tensor.shape)
        return (data.astype(np.uint32) << 16).view(np.float32) if kind is np.uint16 else data

    return read
