"""The preference losses: each a pure function with its equation and source, and what training with it needs.

Names are those of TRL's DPOTrainer, whose own values the tests compare with ("dpo" is its "sigmoid"). Its two losses
that sort the pairs of a batch (aot, aot_unpaired) are left out: they depend on how a batch is cut into micro-batches.

The config asks a loss which keys go with it, so this module must load without torch: it is imported where it computes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from judgeloop.config.choices import LOSSES
from judgeloop.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from judgeloop.config import TrainSection

DISCOPOP_TAU = 0.05
_METRICS_TAKEN = ("eft", "ift", "refresh", "solved")  # the replayed rows' losses are eft_loss, ift_loss, …


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


@dataclass(frozen=True)
class PairTerms:
    """What a loss is made from: figures of each pair of a batch, shape (pairs,), in natural logs.

    `chosen` and `rejected` are log π(y) summed over the response's tokens, `reference_chosen` and `reference_rejected`
    the reference's, `chosen_nll` the chosen response's mean token NLL, `token_loss` the mean of the loss's own
    `TokenLoss` over the rejected response's tokens. What the loss does not ask for is 0.
    """

    chosen: Tensor
    rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor
    chosen_nll: Tensor
    token_loss: Tensor

    @property
    def ratios(self) -> LogRatios:
        chosen, rejected = self.chosen - self.reference_chosen, self.rejected - self.reference_rejected
        return LogRatios(chosen, rejected, self.chosen_tokens, self.rejected_tokens)


@dataclass(frozen=True)
class TokenLoss:
    """A loss of single tokens of the rejected response that needs all logits of a token.

    `function(logits, ids, draws)` takes float32 logits (tokens, vocabulary), the ids that were written (tokens,) and
    random numbers, and gives the loss of each token. `draws(tokens, section, seed)` makes those numbers, of shape
    (tokens, …); the same seed gives the same ones.
    """

    function: Callable[[Tensor, Tensor, Tensor], Tensor]
    draws: Callable[[int, TrainSection, int], Tensor]


LogRatioFunction = Callable[[LogRatios, float, float], "Tensor"]
"""(log-ratios, β, label smoothing ε) → the loss of each pair."""
Smoothing = Literal["never", "optional", "required"]


@dataclass(frozen=True)
class PreferenceLoss:
    """One value of `train.loss`: how the loss of a pair is computed, and which data and keys go with it.

    `compute(terms, section, smoothing)` gives the loss of each pair and what is logged beside it, by name; all of shape
    (pairs,). `reference`, `rejected`: whether it looks at the reference model and at the rejected response.
    `smoothing`: whether `train.label_smoothing` may or must be above 0; `consistency`, `ld_alpha`, `nll_weight`:
    whether those keys have a meaning for it.
    """

    name: str
    compute: Callable[[PairTerms, TrainSection, float], tuple[Tensor, dict[str, Tensor]]]
    reference: bool = True
    rejected: bool = True
    token_loss: TokenLoss | None = None
    smoothing: Smoothing = "never"
    consistency: bool = False
    ld_alpha: bool = True
    nll_weight: bool = True

    @property
    def metric(self) -> str:
        """What the loss is called in metrics.jsonl: alone, without replay and `nll_weight`."""
        return f"{self.name}_loss"

    def check(self, section: TrainSection) -> None:
        """Raise ValueError, saying what to do, if a key of the section does not go with this loss."""
        if section.label_smoothing and self.smoothing == "never":
            takers = _listed([name for name in LOSSES if LOSSES[name].smoothing != "never"])
            raise ValueError(f"label_smoothing is for {takers}, not {self.name}; set it to 0")
        if self.smoothing == "required" and not section.label_smoothing:
            raise ValueError(f"{self.name} needs label_smoothing above 0, such as 0.001")
        if section.consistency and (not self.consistency or section.label_smoothing):
            takers = _listed([name for name in LOSSES if LOSSES[name].consistency])
            raise ValueError(f"consistency sets label_smoothing itself, for {takers}; leave one of the two out")
        if section.nll_share < 1 and not (self.nll_weight and section.nll_weight):
            without = "nll_weight is 0" if self.nll_weight else f"{self.name} takes no nll_weight"
            raise ValueError(f"nll_share says of which pairs nll_weight imitates the chosen, and {without}; leave it 1")
        if section.ld_alpha is not None and not self.ld_alpha:
            raise ValueError(f"ld_alpha changes log-ratios, and {self.name} has none; leave it null")


def log_ratio_loss(
    name: str, function: LogRatioFunction, *, smoothing: Smoothing = "never", consistency: bool = False
) -> PreferenceLoss:
    """The loss that a function of the log-ratios makes."""

    def compute(terms: PairTerms, section: TrainSection, label_smoothing: float) -> tuple[Tensor, dict[str, Tensor]]:
        ratios = terms.ratios
        margin = section.beta * ratios.margin
        return function(ratios, section.beta, label_smoothing), {
            "chosen_nll": terms.chosen_nll,
            "reward_margin": margin,
            "reward_accuracy": (margin > 0).float(),
            "chosen_logps": terms.chosen,
            "rejected_logps": terms.rejected,
            "chosen_change": ratios.chosen,
        }

    return PreferenceLoss(name, compute, smoothing=smoothing, consistency=consistency)


def as_loss(name: str, registered: object) -> PreferenceLoss:
    """What a plugin registered under `name` as a loss: a `PreferenceLoss`, or a function (log-ratios, β, label
    smoothing) → the loss of each pair. Raises InputError if it is neither."""
    if name in _METRICS_TAKEN:
        raise InputError(f"train.loss: '{name}' would be logged as {name}_loss, as replayed rows are; give it another")
    if isinstance(registered, PreferenceLoss):
        return replace(registered, name=name)
    try:
        if not callable(registered):
            raise TypeError(f"{registered!r} is not callable")
        inspect.signature(registered).bind(None, None, None)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"train.loss: '{name}' is registered, but not as a loss ({error}); register a function of "
            "(ratios, beta, smoothing), or a PreferenceLoss"
        ) from error
    return log_ratio_loss(name, registered)


def _listed(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _log_sigmoid(value: Tensor) -> Tensor:
    from torch.nn.functional import logsigmoid

    return logsigmoid(value)


def _per_token(ratios: LogRatios) -> Tensor:
    chosen = ratios.chosen / ratios.chosen_tokens.clamp(min=1)
    return chosen - ratios.rejected / ratios.rejected_tokens.clamp(min=1)


def dpo(ratios: LogRatios, beta: float, smoothing: float) -> Tensor:
    """−(1−ε)·log σ(βΔ) − ε·log σ(−βΔ), Δ the difference of the log-ratios. DPO (arXiv 2305.18290), equation 7; with
    smoothing ε the loss of a label that is wrong with probability ε (its section on noisy labels; CREAM, arXiv
    2410.12735, takes ε from the consistency of two rankings). At Δ = 0 it is ln 2 whatever ε."""
    scaled = beta * ratios.margin
    return -(1 - smoothing) * _log_sigmoid(scaled) - smoothing * _log_sigmoid(-scaled)


def robust(ratios: LogRatios, beta: float, smoothing: float) -> Tensor:
    """The unbiased form of the smoothed loss: (−(1−ε)·log σ(βΔ) + ε·log σ(−βΔ)) / (1−2ε). rDPO (arXiv 2403.00409),
    equation 12."""
    scaled = beta * ratios.margin
    return (-(1 - smoothing) * _log_sigmoid(scaled) + smoothing * _log_sigmoid(-scaled)) / (1 - 2 * smoothing)


def hinge(ratios: LogRatios, beta: float, _smoothing: float) -> Tensor:
    """max(0, 1 − βΔ). SLiC (arXiv 2305.10425) with DPO's margin, as RSO (arXiv 2309.06657) writes it."""
    return (1 - beta * ratios.margin).relu()


def ipo(ratios: LogRatios, beta: float, _smoothing: float) -> Tensor:
    """(Δ̄ − 1/(2β))², Δ̄ the difference of the log-ratios per token. IPO (arXiv 2310.12036), equation 17, normalised by
    length as its authors ran it."""
    return (_per_token(ratios) - 1 / (2 * beta)) ** 2


def sigmoid_norm(ratios: LogRatios, beta: float, _smoothing: float) -> Tensor:
    """−log σ(βΔ̄), with log-ratios per token (Tülu 3, arXiv 2411.15124, section 5.2)."""
    return -_log_sigmoid(beta * _per_token(ratios))


def exo_pair(ratios: LogRatios, beta: float, smoothing: float) -> Tensor:
    """KL of (σ(βΔ), σ(−βΔ)) from the label (1−ε, ε). EXO (arXiv 2402.00856), equation 16. Needs ε > 0."""
    scaled = beta * ratios.margin
    first = scaled.sigmoid() * (_log_sigmoid(scaled) - math.log1p(-smoothing))
    return first + (-scaled).sigmoid() * (_log_sigmoid(-scaled) - math.log(smoothing))


def nca_pair(ratios: LogRatios, beta: float, _smoothing: float) -> Tensor:
    """−log σ(r_c) − ½·log σ(−r_c) − ½·log σ(−r_r), r = β·log-ratio. NCA (arXiv 2402.05369), equation 11 for pairs."""
    chosen, rejected = beta * ratios.chosen, beta * ratios.rejected
    return -_log_sigmoid(chosen) - 0.5 * _log_sigmoid(-chosen) - 0.5 * _log_sigmoid(-rejected)


def bco_pair(ratios: LogRatios, beta: float, _smoothing: float) -> Tensor:
    """−log σ(r_c) − log σ(−r_r). BCO (arXiv 2404.04656), without its reward shift."""
    return -_log_sigmoid(beta * ratios.chosen) - _log_sigmoid(-beta * ratios.rejected)


def sppo_hard(ratios: LogRatios, beta: float, _smoothing: float) -> Tensor:
    """(chosen − 1/(2β))² + (rejected + 1/(2β))². SPPO (arXiv 2405.00675), equation 4.7 with wins of 1 and 0."""
    return (ratios.chosen - 0.5 / beta) ** 2 + (ratios.rejected + 0.5 / beta) ** 2


def apo_zero(ratios: LogRatios, beta: float, _smoothing: float) -> Tensor:
    """1 − σ(r_c) + σ(r_r): chosen up, rejected down. APO (arXiv 2408.06266), equation 7."""
    return 1 - (beta * ratios.chosen).sigmoid() + (beta * ratios.rejected).sigmoid()


def apo_down(ratios: LogRatios, beta: float, _smoothing: float) -> Tensor:
    """σ(r_c) + 1 − σ(βΔ): both down, rejected more. APO (arXiv 2408.06266), equation 8."""
    return (beta * ratios.chosen).sigmoid() + 1 - (beta * ratios.margin).sigmoid()


def discopop(ratios: LogRatios, beta: float, _smoothing: float) -> Tensor:
    """(1−m)·(−log σ(βΔ)) + m·exp(−βΔ) with m = σ(βΔ/τ), τ = 0.05. DiscoPOP (arXiv 2406.08414), equation 5."""
    scaled = beta * ratios.margin
    share = (scaled / DISCOPOP_TAU).sigmoid()
    return -_log_sigmoid(scaled) * (1 - share) + (-scaled).exp() * share


def sft_best(terms: PairTerms, _section: TrainSection, _smoothing: float) -> tuple[Tensor, dict[str, Tensor]]:
    """CE(y_c), the mean over the chosen response's tokens: SFT on the best response, without contrast. The other way
    to train on AI feedback in Self-Rewarding Language Models (arXiv 2401.10020)."""
    return terms.chosen_nll, {"chosen_nll": terms.chosen_nll, "chosen_logps": terms.chosen}


DPO = log_ratio_loss("dpo", dpo, smoothing="optional", consistency=True)
ROBUST = log_ratio_loss("robust", robust, smoothing="optional")
HINGE = log_ratio_loss("hinge", hinge)
IPO = log_ratio_loss("ipo", ipo)
SIGMOID_NORM = log_ratio_loss("sigmoid_norm", sigmoid_norm)
EXO_PAIR = log_ratio_loss("exo_pair", exo_pair, smoothing="required")
NCA_PAIR = log_ratio_loss("nca_pair", nca_pair)
BCO_PAIR = log_ratio_loss("bco_pair", bco_pair)
SPPO_HARD = log_ratio_loss("sppo_hard", sppo_hard)
APO_ZERO = log_ratio_loss("apo_zero", apo_zero)
APO_DOWN = log_ratio_loss("apo_down", apo_down)
DISCOPOP = log_ratio_loss("discopop", discopop)
SFT_BEST = PreferenceLoss("sft_best", sft_best, reference=False, rejected=False, ld_alpha=False, nll_weight=False)
