"""The Cringe loss on tokens of rejected responses, and the gate that makes it pairwise, as pure functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def cringe_tokens(logits: Tensor, rejected: Tensor, noise: Tensor) -> Tensor:
    """Cringe loss of each token of rejected responses, shape (tokens,).

    `logits` (tokens, vocabulary) in float32, `rejected` (tokens,) the ids that were written, `noise` (tokens, k)
    standard Gumbel noise. Of the k likeliest *other* tokens one is drawn by its softmax (the Gumbel maximum), and the
    loss is the two-way cross-entropy of that token against the rejected one: −log(e^s⁺ / (e^s⁺ + e^s⁻)). The Cringe
    loss (arXiv 2211.05826), equations 2 and 3. The draw itself carries no gradient.
    """
    negative = logits.gather(1, rejected.unsqueeze(1)).squeeze(1)
    with torch.no_grad():
        others = logits.scatter(1, rejected.unsqueeze(1), -torch.inf)
        top = others.topk(noise.shape[1], dim=1)
        drawn = top.indices.gather(1, (top.values + noise).argmax(dim=1, keepdim=True))
    positive = logits.gather(1, drawn).squeeze(1)
    return softplus(negative - positive)


def gumbel(tokens: int, k: int, seed: int) -> Tensor:
    """Standard Gumbel noise (tokens, k) from a seed, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(tokens, k, generator=generator).clamp_(1e-20, 1 - 1e-7)
    return -torch.log(-torch.log(uniform))


def gate(chosen: Tensor, rejected: Tensor, bias: float, temperature: float) -> Tensor:
    """g = σ((b − M) / τ) with the margin M = log π(chosen) − log π(rejected), shape (pairs,), without gradient.

    Pairwise Cringe (arXiv 2312.16682), section 3: a pair that the model tells apart already by more than b is left
    alone. Log-probabilities are natural and summed over the response.
    """
    margin = (chosen - rejected).detach()
    return torch.sigmoid((bias - margin) / temperature)
