"""The MLP down(silu(gate(x)) · up(x)) without passes of its own for silu and product, and in the last layer for the
tokens alone that are read.

In bfloat16 on a CPU both are done by oneDNN as it writes a matrix product's result.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

_CLOSE = 0.02  # deviation of a fused MLP's output, as a share of its norm: bfloat16 rounds at other places


def gated_mlps(model: Any) -> dict[str, Any]:
    """The model's MLPs of this form by name; none if the first is not what its parts say."""
    found = {name: module for name, module in model.named_modules() if _is_gated(module)}
    first = next(iter(found.values()), None)
    return found if first is not None and _is_its_parts(first) else {}


def _is_gated(module: Any) -> bool:
    parts = [getattr(module, f"{name}_proj", None) for name in ("gate", "up", "down")]
    return all(type(part) is nn.Linear for part in parts) and isinstance(
        getattr(module, "act_fn", None), type(ACT2FN["silu"])
    )


def _is_its_parts(mlp: Any) -> bool:
    some = torch.randn(4, mlp.gate_proj.in_features, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        inputs = some.to(mlp.gate_proj.weight)
        try:
            expected, output = mlp(inputs).float(), _fused(mlp, inputs).float()
        except (AttributeError, NotImplementedError, RuntimeError, TypeError):
            return False
    return bool((output - expected).norm() <= _CLOSE * expected.norm())


@contextmanager
def faster(mlps: dict[str, Any], last: str, kept: Tensor) -> Iterator[None]:
    """Within it the MLPs are fused; those whose name has `last` in it give (1, tokens, size) right at `kept` only."""
    for name, mlp in mlps.items():
        fused = functools.partial(_fused, mlp)
        mlp.forward = functools.partial(_at, fused, kept) if last in name else fused
    try:
        yield
    finally:
        for mlp in mlps.values():
            del mlp.forward


def _at(forward: Any, kept: Tensor, inputs: Tensor) -> Tensor:
    if inputs.dim() != 3:
        result: Tensor = forward(inputs)
        return result
    return torch.zeros_like(inputs).index_copy_(1, kept, forward(inputs[:, kept]))


def _fused(mlp: Any, inputs: Tensor) -> Tensor:
    gate, up = mlp.gate_proj, mlp.up_proj
    if inputs.dtype == torch.bfloat16:
        linear = torch.ops.mkldnn._linear_pointwise
        gates = linear(inputs, gate.weight, gate.bias, "swish", [], "")
        product = linear.binary(inputs, gates, up.weight, up.bias, "mul")
    else:
        product = nn.functional.silu(gate(inputs), inplace=True).mul_(up(inputs))
    result: Tensor = mlp.down_proj(product)
    return result
