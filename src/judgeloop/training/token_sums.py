"""From log-probabilities of tokens to figures of responses: sums and means, each with its equation."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_token_nll(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood a token of each row, shape (rows,). `log_probs` and `mask` have shape (rows, tokens).

    Iterative Reasoning Preference Optimization (arXiv 2404.19733), equation 1: the NLL term is divided by the
    response's length.
    """
    return -(log_probs * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def weighted_nll(log_probs: Tensor, weights: Tensor, total: Tensor | float) -> Tensor:
    """Negative log-likelihood of tokens times their weights, over `total` (the weights' sum in the whole batch)."""
    return -(log_probs * weights).sum() / torch.as_tensor(total).clamp(min=1e-6)


def desensitised(log_probs: Tensor, mask: Tensor, alpha: float) -> Tensor:
    """Sums over each response's tokens in which those beyond the shorter side's length count `alpha`, shape
    (2 × pairs,). `log_probs` and `mask` have shape (2 × pairs, tokens), chosen first.

    LD-DPO (arXiv 2409.06411), equation 9: what a response owes to its length alone is damped; α = 1 is plain DPO.
    """
    position = mask.cumsum(dim=1) * (mask > 0)
    chosen, rejected = mask.sum(dim=1).chunk(2)
    shared = torch.minimum(chosen, rejected).repeat(2).unsqueeze(1)
    weight = (position > 0).to(log_probs.dtype) * torch.where(position <= shared, 1.0, alpha)
    return (log_probs * weight).sum(dim=1)
