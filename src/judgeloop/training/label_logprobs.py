"""The log-probability of each label from the last hidden state, with the logits projected once.

Autograd would keep float32 logits and their softmax, or project them again for the gradient, and fill and read several
arrays of (tokens, vocabulary). Here the logits are kept as they were projected (bf16 under autocast), and everything
of that shape is worked through in blocks that stay in the processor's cache. The values are the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from judgeloop.training.frozen_weights import in_type, product_type

_BLOCK = 2**20  # float32 numbers worked on at once on a CPU, 4 MiB


def label_log_probs(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """log softmax(hidden · weightᵀ) at the labels, float32 of shape (tokens,). `hidden` (tokens, size), `weight`
    (vocabulary, size), `labels` (tokens,). Projects in autocast's type if it is on, else in the weight's."""
    dtype = product_type(weight)
    found: Tensor = _LabelLogProbs.apply(hidden.to(dtype), in_type(weight, dtype), labels)
    return found


class _LabelLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        logits = hidden @ weight.T
        total = torch.empty(len(labels), device=hidden.device)
        for block in _blocks(logits):
            torch.logsumexp(logits[block].float(), dim=1, out=total[block])
        ctx.save_for_backward(hidden, weight, labels, logits, total)
        return logits.gather(1, labels.unsqueeze(1)).squeeze(1).float() - total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        hidden, weight, labels, logits, total = ctx.saved_tensors
        upstream = gradients[0].unsqueeze(1)
        of_logits = torch.empty_like(logits)
        for block in _blocks(logits):
            part = (logits[block].float() - total[block].unsqueeze(1)).exp_().mul_(-upstream[block])
            part.scatter_add_(1, labels[block].unsqueeze(1), upstream[block])
            of_logits[block] = part
        of_hidden = of_logits @ weight if ctx.needs_input_grad[0] else None
        of_weight = of_logits.T @ hidden if ctx.needs_input_grad[1] else None
        return of_hidden, of_weight, None


def _blocks(logits: Tensor) -> list[slice]:
    size = max(1, _BLOCK // logits.shape[1]) if logits.device.type == "cpu" else max(1, len(logits))
    return [slice(start, start + size) for start in range(0, len(logits), size)]
