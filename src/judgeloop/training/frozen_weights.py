"""Weights that are not trained, kept in the type that products are made in.

Autocast casts a weight once a step if it is trained, and at each use if it is not. On a CPU that reads and writes all
frozen layers and a frozen output layer in every step, for the same numbers.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_MOST = 256 * 2**20  # bytes of copies in a process; beyond that time is cheaper than memory
_KEPT: Any = WeakTensorKeyDictionary()  # weights: their version and the copy


def product_type(states: Tensor) -> torch.dtype:
    """What a matrix product would cast these states to."""
    kind = states.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype


def in_type(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """`weight.to(dtype)`, made once for a weight in the host's memory that is not trained, and again if it changes."""
    if weight.requires_grad or weight.dtype == dtype or weight.device.type != "cpu":
        return weight.to(dtype)
    version, copy = _KEPT.get(weight, (None, None))
    if version != weight._version or copy.dtype != dtype:
        copy = weight.detach().to(dtype)
        others = sum(kept.nbytes for of, (_, kept) in _KEPT.items() if of is not weight)
        if others + copy.nbytes > _MOST:
            return copy
        _KEPT[weight] = weight._version, copy
    return copy


def use_kept_weights(model: Any) -> int:
    """Let the model's frozen linear layers ask `in_type` for their weights under autocast, and return how many do."""
    found = [
        module
        for module in model.modules()
        if type(module) is torch.nn.Linear and not module.weight.requires_grad and "forward" not in vars(module)
    ]
    for module in found:
        module.forward = types.MethodType(_forward, module)
    return len(found)


def _forward(self: Any, states: Tensor) -> Tensor:
    weight = in_type(self.weight, product_type(states))
    return torch.nn.functional.linear(states, weight, self.bias)
