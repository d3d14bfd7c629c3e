"""What only a GPU with CUDA can do in training: weights of 4 bits, FlashAttention, Liger's fused kernels."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from judgeloop.config import TrainingSection
from judgeloop.errors import InputError


def require_gpu_settings(config: TrainingSection) -> None:
    """Raise InputError where the config asks for what this machine cannot do, before anything is read."""
    if config.method == "qlora":
        _require("method: qlora", "bitsandbytes", "method: lora")
    if config.attention == "flash_attention_2":
        _require("attention: flash_attention_2", "flash_attn", "attention: auto")
    if config.kernels == "liger":
        _require("kernels: liger", "liger_kernel", "kernels: torch")


def _require(setting: str, package: str, instead: str) -> None:
    if not torch.cuda.is_available():
        raise InputError(f"{setting} needs a GPU with CUDA, and this machine has none; set {instead}")
    if importlib.util.find_spec(package) is None:
        name = package.replace("_", "-")
        raise InputError(f"{setting} needs {name}; run `pip install {name}`, or set {instead}")


def fuse(model: Any) -> Any:
    """Put Liger's kernels (arXiv 2410.10989) in the place of the model's norms, rotary embedding and feed-forward
    layers. Its fused losses are left out: ours read the hidden states of response positions only. Raises InputError
    for a kind of model that Liger does not know, which it would leave as it is without a word."""
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
    from transformers.integrations.liger import apply_liger_kernel

    if (kind := model.config.model_type) not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise InputError(f"kernels: liger has none for models of type '{kind}'; set kernels: torch")
    apply_liger_kernel(model, {"cross_entropy": False, "fused_linear_cross_entropy": False})
    return model
