"""The output layer of a model: where logits are made, and how exactly."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor


class Float32Head:
    """Within the context, a bfloat16 model's output layer computes in float32: bfloat16 logits have steps of 1/8."""

    def __init__(self, model: Any) -> None:
        self._head = model.get_output_embeddings()

    def __enter__(self) -> None:
        self._hook = None
        if isinstance(self._head, torch.nn.Linear) and self._head.weight.dtype != torch.float32:
            self._hook = self._head.register_forward_hook(_in_float32)

    def __exit__(self, *exception: object) -> None:
        if self._hook is not None:
            self._hook.remove()


def _in_float32(head: Any, inputs: tuple[Tensor, ...], _: Tensor) -> Tensor:
    bias = None if head.bias is None else head.bias.float()
    return functional.linear(inputs[0].float(), head.weight.float(), bias)


def keeps_logits(model: Any) -> bool:
    """Can the model be told where logits are wanted?"""
    return "logits_to_keep" in inspect.signature(model.forward).parameters
