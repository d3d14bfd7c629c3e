"""Gradient clipping inside the optimiser's step, on a CPU.

Clipping reads and writes every gradient, and the step reads them again. The fused AdamW takes a divisor for them, so
what is left to do before it is their norm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_EPSILON = 1e-6  # as torch.nn.utils.clip_grad_norm_ has it


def clip_in_step(parameters: Iterable[Tensor], optimizer: Any, most: float) -> Tensor | None:
    """Let the optimiser's next step use gradients whose total norm is at most `most`, and return the norm that they
    have, as `torch.nn.utils.clip_grad_norm_` does. None, and nothing done, for an optimiser that takes no divisor, and
    for gradients that are not float32 numbers in the host's memory."""
    inner = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
    if not isinstance(inner, torch.optim.AdamW) or not inner.defaults.get("fused"):
        return None
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not all(_plain(gradient) for gradient in gradients):
        return None
    norm = torch.nn.utils.get_total_norm(gradients)
    setattr(inner, "grad_scale", ((norm + _EPSILON) / most).clamp(min=1.0))  # noqa: B010  (torch declares no such name)
    return norm


def _plain(gradient: Tensor) -> bool:
    dense = type(gradient) is Tensor and gradient.layout == torch.strided and gradient.is_contiguous()
    return dense and gradient.device.type == "cpu" and gradient.dtype == torch.float32
