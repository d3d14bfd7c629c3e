"""Liger's fused kernels in a model that is trained on a GPU."""

from __future__ import annotations

from typing import Any

from judgeloop.errors import InputError


def fuse(model: Any) -> Any:
    """Put Liger's kernels (arXiv 2410.10989) in the place of the model's norms, rotary embedding and feed-forward
    layers. Its fused losses are left out: ours read the hidden states of response positions only. Raises InputError
    for a kind of model that Liger does not know, which it would silently leave as it is."""
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
    from transformers.integrations.liger import apply_liger_kernel

    if (kind := model.config.model_type) not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise InputError(f"kernels: liger has none for models of type '{kind}'; set kernels: torch")
    apply_liger_kernel(model, {"cross_entropy": False, "fused_linear_cross_entropy": False})
    return model
