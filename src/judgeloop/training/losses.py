"""The losses as pure functions of log-probabilities, each with its equation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Weighting = Literal["token", "row"]


def dpo(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float) -> Tensor:
    """DPO's loss of each pair, shape (pairs,): −log σ(β(log π(c)/ref(c) − log π(r)/ref(r))).

    Inputs are natural-log probabilities of whole responses, summed over their tokens. Direct Preference Optimization
    (arXiv 2305.18290), equation 7.
    """
    margin = (chosen - reference_chosen) - (rejected - reference_rejected)
    return -functional.logsigmoid(beta * margin)


def mean_token_nll(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood a token of each row, shape (rows,). `log_probs` and `mask` have shape (rows, tokens).

    Iterative Reasoning Preference Optimization (arXiv 2404.19733), equation 1: the NLL term is divided by the
    response's length.
    """
    return -(log_probs * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def weighted_nll(log_probs: Tensor, weights: Tensor, total: Tensor | float) -> Tensor:
    """Negative log-likelihood of tokens times their weights, over `total` (the weights' sum in the whole batch)."""
    return -(log_probs * weights).sum() / torch.as_tensor(total).clamp(min=1e-6)
