"""Pairwise Cringe: the Cringe loss on tokens of rejected responses, and the gate that makes it pairwise.

The config asks this module which keys go with the loss, so torch is imported where it computes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from judgeloop.training.losses import PairTerms, PreferenceLoss, TokenLoss

if TYPE_CHECKING:
    from torch import Tensor

    from judgeloop.config import TrainSection


def cringe_tokens(logits: Tensor, rejected: Tensor, noise: Tensor) -> Tensor:
    """Cringe loss of each token of rejected responses, shape (tokens,).

    `logits` (tokens, vocabulary) in float32, `rejected` (tokens,) the ids that were written, `noise` (tokens, k)
    standard Gumbel noise. Of the k likeliest *other* tokens one is drawn by its softmax (the Gumbel maximum), and the
    loss is the two-way cross-entropy of that token against the rejected one: −log(e^s⁺ / (e^s⁺ + e^s⁻)). The Cringe
    loss (arXiv 2211.05826), equations 2 and 3. The draw itself carries no gradient.
    """
    import torch
    from torch.nn.functional import softplus

    negative = logits.gather(1, rejected.unsqueeze(1)).squeeze(1)
    with torch.no_grad():
        others = logits.scatter(1, rejected.unsqueeze(1), -math.inf)
        top = others.topk(noise.shape[1], dim=1)
        drawn = top.indices.gather(1, (top.values + noise).argmax(dim=1, keepdim=True))
    positive = logits.gather(1, drawn).squeeze(1)
    return softplus(negative - positive)


def gumbel(tokens: int, k: int, seed: int) -> Tensor:
    """Standard Gumbel noise (tokens, k) from a seed, the same on every device."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(tokens, k, generator=generator).clamp_(1e-20, 1 - 1e-7)
    return -torch.log(-torch.log(uniform))


def gate(chosen: Tensor, rejected: Tensor, bias: float, temperature: float) -> Tensor:
    """g = σ((b − M) / τ) with the margin M = log π(chosen) − log π(rejected), shape (pairs,), without gradient.

    Pairwise Cringe (arXiv 2312.16682), section 3: a pair that the model tells apart already by more than b is left
    alone. Log-probabilities are natural and summed over the response.
    """
    margin = (chosen - rejected).detach()
    return ((bias - margin) / temperature).sigmoid()


def pairwise_cringe(terms: PairTerms, section: TrainSection, _smoothing: float) -> tuple[Tensor, dict[str, Tensor]]:
    """g · (CE(chosen) + α · Cringe(rejected)), or with `gate: contrast` CE(chosen) + α · g · Cringe(rejected); both
    terms are means over a response's tokens.

    The former multiplies the whole binary loss by the gate: a pair that is told apart teaches nothing more. The latter
    goes on imitating its chosen response. Pairwise Cringe (arXiv 2312.16682), section 3; plain Cringe (arXiv
    2211.05826) has g = 1.
    """
    options = section.cringe
    opened = terms.chosen_nll.new_ones(terms.chosen_nll.shape)
    if options.pairwise:
        opened = gate(terms.chosen, terms.rejected, options.bias, options.temperature)
    imitated = opened * terms.chosen_nll if options.gate == "pair" else terms.chosen_nll
    return imitated + options.weight * opened * terms.token_loss, {
        "chosen_nll": terms.chosen_nll,
        "cringe": terms.token_loss,
        "gate": opened,
        "chosen_logps": terms.chosen,
        "rejected_logps": terms.rejected,
    }


def _draws(tokens: int, section: TrainSection, seed: int) -> Tensor:
    return gumbel(tokens, section.cringe.top_k, seed)


CRINGE = PreferenceLoss(
    "cringe",
    pairwise_cringe,
    token_loss=TokenLoss(cringe_tokens, _draws),
    reference=False,
    ld_alpha=False,
    nll_weight=False,
)
