"""The output layer of a model: where logits are made, and how exactly."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

_ROWS = 2048  # of the weights in float32 at a time: all of them would not fit into a processor's cache, nor be kept


class Float32Head:
    """Within the context, a bfloat16 model's output layer computes in float32: bfloat16 logits have steps of 1/8."""

    def __init__(self, model: Any) -> None:
        head = model.get_output_embeddings()
        rounds = isinstance(head, torch.nn.Linear) and head.weight.dtype != torch.float32
        self._head = head if rounds else None

    def __enter__(self) -> None:
        if self._head is not None:
            head = self._head
            head.forward = lambda inputs: _in_float32(head, inputs)

    def __exit__(self, *exception: object) -> None:
        if self._head is not None:
            del self._head.forward


def _in_float32(head: Any, inputs: Tensor) -> Tensor:
    exact = inputs.float()
    logits = torch.cat([functional.linear(exact, rows.float()) for rows in head.weight.split(_ROWS)], -1)
    return logits if head.bias is None else logits.add_(head.bias.float())


def keeps_logits(model: Any) -> bool:
    """Can the model be told where logits are wanted?"""
    return "logits_to_keep" in inspect.signature(model.forward).parameters
