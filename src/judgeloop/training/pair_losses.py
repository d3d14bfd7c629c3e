"""The preference losses by name: each a pure function of a batch's log-ratios, with its equation.

Names are those of TRL's DPOTrainer, whose own values the tests compare with ("dpo" is its "sigmoid"). Its two losses
that sort the pairs of a batch (aot, aot_unpaired) are left out: they depend on how a batch is cut into micro-batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

DISCOPOP_TAU = 0.05


@dataclass(frozen=True)
class LogRatios:
    """log π(y)/ref(y) of the chosen and the rejected response of each pair, natural logs summed over the response's
    tokens, shape (pairs,); and the number of those tokens."""

    chosen: Tensor
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor

    @property
    def margin(self) -> Tensor:
        return self.chosen - self.rejected


PairLoss = Callable[[LogRatios, float, float | Tensor], Tensor]


def dpo(ratios: LogRatios, beta: float, smoothing: float | Tensor) -> Tensor:
    """−(1−ε)·log σ(βΔ) − ε·log σ(−βΔ), Δ the difference of the log-ratios. DPO (arXiv 2305.18290), equation 7; with
    smoothing ε the loss of a label that is wrong with probability ε (its section on noisy labels; CREAM, arXiv
    2410.12735, takes ε from the consistency of two rankings). At Δ = 0 it is ln 2 whatever ε."""
    scaled = beta * ratios.margin
    return -(1 - smoothing) * logsigmoid(scaled) - smoothing * logsigmoid(-scaled)


def robust(ratios: LogRatios, beta: float, smoothing: float | Tensor) -> Tensor:
    """The unbiased form of the smoothed loss: (−(1−ε)·log σ(βΔ) + ε·log σ(−βΔ)) / (1−2ε). rDPO (arXiv 2403.00409),
    equation 12."""
    scaled = beta * ratios.margin
    return (-(1 - smoothing) * logsigmoid(scaled) + smoothing * logsigmoid(-scaled)) / (1 - 2 * smoothing)


def hinge(ratios: LogRatios, beta: float, _smoothing: float | Tensor) -> Tensor:
    """max(0, 1 − βΔ). SLiC (arXiv 2305.10425) with DPO's margin, as RSO (arXiv 2309.06657) writes it."""
    return torch.relu(1 - beta * ratios.margin)


def ipo(ratios: LogRatios, beta: float, _smoothing: float | Tensor) -> Tensor:
    """(Δ̄ − 1/(2β))², Δ̄ the difference of the log-ratios per token. IPO (arXiv 2310.12036), equation 17, normalised by
    length as its authors ran it."""
    return (_per_token(ratios) - 1 / (2 * beta)) ** 2


def sigmoid_norm(ratios: LogRatios, beta: float, _smoothing: float | Tensor) -> Tensor:
    """−log σ(βΔ̄), with log-ratios per token (Tülu 3, arXiv 2411.15124, section 5.2)."""
    return -logsigmoid(beta * _per_token(ratios))


def exo_pair(ratios: LogRatios, beta: float, smoothing: float | Tensor) -> Tensor:
    """KL of (σ(βΔ), σ(−βΔ)) from the label (1−ε, ε). EXO (arXiv 2402.00856), equation 16. Needs ε > 0."""
    scaled = beta * ratios.margin
    label = torch.as_tensor(smoothing, dtype=scaled.dtype, device=scaled.device)
    first = torch.sigmoid(scaled) * (logsigmoid(scaled) - torch.log1p(-label))
    return first + torch.sigmoid(-scaled) * (logsigmoid(-scaled) - torch.log(label))


def nca_pair(ratios: LogRatios, beta: float, _smoothing: float | Tensor) -> Tensor:
    """−log σ(r_c) − ½·log σ(−r_c) − ½·log σ(−r_r), r = β·log-ratio. NCA (arXiv 2402.05369), equation 11 for pairs."""
    chosen, rejected = beta * ratios.chosen, beta * ratios.rejected
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def bco_pair(ratios: LogRatios, beta: float, _smoothing: float | Tensor) -> Tensor:
    """−log σ(r_c) − log σ(−r_r). BCO (arXiv 2404.04656), without its reward shift."""
    return -logsigmoid(beta * ratios.chosen) - logsigmoid(-beta * ratios.rejected)


def sppo_hard(ratios: LogRatios, beta: float, _smoothing: float | Tensor) -> Tensor:
    """(chosen − 1/(2β))² + (rejected + 1/(2β))². SPPO (arXiv 2405.00675), equation 4.7 with wins of 1 and 0."""
    return (ratios.chosen - 0.5 / beta) ** 2 + (ratios.rejected + 0.5 / beta) ** 2


def apo_zero(ratios: LogRatios, beta: float, _smoothing: float | Tensor) -> Tensor:
    """1 − σ(r_c) + σ(r_r): chosen up, rejected down. APO (arXiv 2408.06266), equation 7."""
    return 1 - torch.sigmoid(beta * ratios.chosen) + torch.sigmoid(beta * ratios.rejected)


def apo_down(ratios: LogRatios, beta: float, _smoothing: float | Tensor) -> Tensor:
    """σ(r_c) + 1 − σ(βΔ): both down, rejected more. APO (arXiv 2408.06266), equation 8."""
    return torch.sigmoid(beta * ratios.chosen) + 1 - torch.sigmoid(beta * ratios.margin)


def discopop(ratios: LogRatios, beta: float, _smoothing: float | Tensor) -> Tensor:
    """(1−m)·(−log σ(βΔ)) + m·exp(−βΔ) with m = σ(βΔ/τ), τ = 0.05. DiscoPOP (arXiv 2406.08414), equation 5."""
    scaled = beta * ratios.margin
    share = torch.sigmoid(scaled / DISCOPOP_TAU)
    return -logsigmoid(scaled) * (1 - share) + torch.exp(-scaled) * share


def _per_token(ratios: LogRatios) -> Tensor:
    chosen = ratios.chosen / ratios.chosen_tokens.clamp(min=1)
    return chosen - ratios.rejected / ratios.rejected_tokens.clamp(min=1)


PAIR_LOSSES: dict[str, PairLoss] = {
    "dpo": dpo,
    "robust": robust,
    "hinge": hinge,
    "ipo": ipo,
    "sigmoid_norm": sigmoid_norm,
    "exo_pair": exo_pair,
    "nca_pair": nca_pair,
    "bco_pair": bco_pair,
    "sppo_hard": sppo_hard,
    "apo_zero": apo_zero,
    "apo_down": apo_down,
    "discopop": discopop,
}


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
