"""Norms and rotary embeddings of a model that is trained on a CPU, with fewer passes over memory.

Between its matrix products a layer reads and writes its hidden states dozens of times, forward and backward: squares,
means, halves of queries put together again, a cast for each of the products that read the same norm. Here a norm is one
function with its own gradient, and a rotation too. They work through blocks of tokens that stay in the processor's
cache, in float32 whatever goes in, and give what the next product would cast it to. The values are the same, except
that the gradients of the products that read one norm are added in autocast's type.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from judgeloop.models.model_parts import body
from judgeloop.training.frozen_weights import product_type

_BLOCK = 2**19  # numbers of a tensor that are worked on at once: 2 MiB of float32
_NORMS = {"input_layernorm", "post_attention_layernorm"}  # of a layer whose products read its norms and nothing else
_ROTATE = "apply_rotary_pos_emb"
_CLOSE = 1e-5  # deviation in float32, as a share of the norm


def fuse_layers(model: Any) -> int:
    """Let the layers of a causal language model use the functions of this file where they compute the same, which is
    tried with random numbers, and return how many parts do. Other parts are left as they are. For models in float32,
    with or without autocast."""
    if any(parameter.dtype != torch.float32 for parameter in model.parameters()):
        return 0
    base = body(model)
    layers = [module for module in base.modules() if {name for name, _ in module.named_children()} >= _NORMS]
    norms: list[Any] = []
    for layer in layers:
        found = {name: child for name, child in layer.named_children() if _is_norm(child)}
        if set(found) == _NORMS:  # where there are others, some are added to the residual, in float32
            norms += found.values()
    final: Any = getattr(base, "norm", None)
    if norms and _is_norm(final):
        norms.append(final)
    for norm in norms:
        norm.forward = types.MethodType(_norm_forward, norm)
    turned = [child for layer in layers for child in layer.children() if _rotates_alike(child, base)]
    for attention in turned:
        attention.forward = types.MethodType(_with_rotate(type(attention).forward), attention)
    return len(norms) + len(turned)


def _is_norm(module: Any) -> bool:
    """An RMS norm as Llama has it: weight · x / sqrt(mean(x²) + eps)."""
    if module is None or not hasattr(module, "variance_epsilon") or "forward" in vars(module):
        return False
    if [name for name, _ in module.named_parameters()] != ["weight"] or module.weight.dim() != 1:
        return False
    weight = module.weight.detach()
    some = _random(3, len(weight)).to(weight.device)
    with torch.no_grad():
        return _same(module(some), _Norm.apply(some, weight, module.variance_epsilon, torch.float32))


def _rotates_alike(attention: Any, base: Any) -> bool:
    """Whether an attention layer turns its queries and keys by a function of its file that does what ours does."""
    forward = type(attention).forward
    rope = getattr(base, "rotary_emb", None)
    if rope is None or not isinstance(forward, types.FunctionType) or "forward" in vars(attention):
        return False
    theirs = forward.__globals__.get(_ROTATE) if _ROTATE in forward.__code__.co_names else None
    if theirs is None or list(inspect.signature(theirs).parameters)[:4] != ["q", "k", "cos", "sin"]:
        return False
    places = torch.tensor([[0, 1, 7]])
    try:
        cos, sin = rope(_random(1, 3, 4), places)
        if (size := cos.shape[-1]) != getattr(attention, "head_dim", None):
            return False  # a part of each head is turned
        query, key = _random(1, 2, 3, size), _random(1, 1, 3, size)
        expected, found = theirs(query, key, cos, sin), _rotate(query, key, cos, sin)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
        return False
    return all(_same(one, other) for one, other in zip(expected, found, strict=True))


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool((one - other).norm() <= _CLOSE * one.norm())


def _norm_forward(self: Any, hidden_states: Tensor) -> Tensor:
    if hidden_states.dtype != torch.float32:
        found: Tensor = type(self).forward(self, hidden_states)
        return found
    normed: Tensor = _Norm.apply(hidden_states, self.weight, self.variance_epsilon, product_type(hidden_states))
    return normed


def _with_rotate(forward: types.FunctionType) -> types.FunctionType:
    """An attention layer's forward with our function in the place of its file's."""
    known = {**forward.__globals__, _ROTATE: _rotate}
    copied = types.FunctionType(forward.__code__, known, forward.__name__, forward.__defaults__, forward.__closure__)
    copied.__kwdefaults__ = forward.__kwdefaults__
    return copied


def _rotate(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys (rows, heads, tokens, size) turned by the angles of their tokens, (rows or 1, tokens, size), of
    which the second half repeats the first."""
    kind = product_type(query)
    return _Rotate.apply(query, cos, sin, kind), _Rotate.apply(key, cos, sin, kind)


def _blocks(rows: Tensor) -> Iterator[slice]:
    size = max(1, _BLOCK // max(1, math.prod(rows.shape[1:])))
    return (slice(start, start + size) for start in range(0, len(rows), size))


class _Norm(torch.autograd.Function):
    """weight · x / sqrt(mean(x²) + eps) of float32 states, in the type that is asked for."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, epsilon: float, kind: torch.dtype) -> Tensor:
        rows = states.reshape(-1, states.shape[-1])
        found = torch.empty(rows.shape, dtype=kind, device=rows.device)
        scale = torch.empty(len(rows), 1, device=rows.device)
        for block in _blocks(rows):
            part = torch.linalg.vector_norm(rows[block], dim=-1, keepdim=True, out=scale[block])
            part.square_().div_(rows.shape[1]).add_(epsilon).rsqrt_()
            found[block] = (rows[block] * part).mul_(weight)
        ctx.save_for_backward(states, weight, scale)
        return found.view(states.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, scale = ctx.saved_tensors
        rows, upstream = (tensor.reshape(-1, states.shape[-1]) for tensor in (states, gradients[0]))
        found, of_weight = torch.empty_like(rows), torch.zeros_like(weight)
        for block in _blocks(rows):
            above = upstream[block].float()
            both = above * rows[block]
            of_weight.addmv_(both.T, scale[block].squeeze(1))
            along = (both @ weight).unsqueeze_(1).mul_(scale[block].square()).div_(rows.shape[1])
            torch.mul((above * weight).addcmul_(rows[block], along, value=-1), scale[block], out=found[block])
        return found.view(states.shape), of_weight, None, None


class _Rotate(torch.autograd.Function):
    """The rotation of (rows, heads, tokens, size) by angles whose halves are alike (RoFormer, arXiv 2104.09864): each
    number of the first half turns with its counterpart in the second one."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, cos: Tensor, sin: Tensor, kind: torch.dtype) -> Tensor:
        ctx.before = states.dtype
        each = (len(states), *cos.shape[1:])
        cos, sin = (angles.float().expand(each).reshape(-1, 1, each[-1]) for angles in (cos, sin))
        ctx.save_for_backward(cos, sin)
        return _turned(states, cos, sin, kind)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turned(gradients[0], cos, -sin, ctx.before), None, None, None


def _turned(turning: Tensor, cos: Tensor, sin: Tensor, kind: torch.dtype) -> Tensor:
    by_token = turning.transpose(1, 2)  # as the products before and after have them
    rows = by_token.reshape(-1, *by_token.shape[2:])
    half = rows.shape[-1] // 2
    found = torch.empty(rows.shape, dtype=kind, device=rows.device)
    for block in _blocks(rows):
        states = rows[block].float()
        turned = states * cos[block]
        turned[..., :half].addcmul_(states[..., half:], sin[block][..., :half], value=-1)
        turned[..., half:].addcmul_(states[..., :half], sin[block][..., half:])
        found[block] = turned
    return found.view(by_token.shape).transpose(1, 2)
