"""The win rate with the effect of length taken out: what it would be if both responses to a prompt were equally long.

After AlpacaEval 2's length-controlled win rate (Dubois et al., arXiv 2404.04475, section 3), fitted on the user's own
prompts and two models alone. For prompt x let y be the model's points (1 win, ½ tie, 0 loss) and d the length of its
response minus the other's, in characters. With t = tanh(d / s), s the standard deviation of d over the prompts,

    P(model preferred on x) = σ(θ + φ·t + γ_x)

θ is the difference of the models, φ what length does, γ_x how hard this prompt is for the one rather than the other.
Minimised is the sum over prompts of the cross-entropy of y plus ½·γ_x², plus ½·0.1·φ² + ½·0.001·θ². The
length-controlled rate is the mean over prompts of σ(θ + γ_x): the same prompts, t set to 0.

Two things differ from the paper, which has hundreds of models on one set of prompts: γ_x cannot be taken from the
other models, so it is fitted here under a penalty; and the penalties are fixed instead of chosen by cross-validation,
which on simulated judges with 50 to 250 prompts left at least twice as much of the bias in
(`benchmarks/length_control.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judgeloop.evaluation.statistics import Interval, percentile_interval, resampled_weights
from judgeloop.records import Overlap, length_overlap

THETA_PENALTY = 0.001  # keeps θ finite if one model wins every prompt
PHI_PENALTY = 0.1
GAMMA_PENALTY = 1.0
_STEPS, _INNER = 50, 4
_LARGEST_STEP = 2.0
_TOLERANCE = 1e-9

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """`rate` at equal length, `length_effect` φ (above 0: the judge prefers the longer response), and on how many
    prompts the model's response is the `longer` and the `shorter` one."""

    rate: Interval
    length_effect: float
    longer: int
    shorter: int

    @property
    def rarer_share(self) -> float:
        """On which share of the prompts the rarer side occurs, equal lengths included."""
        return length_overlap(self.rate.n, self.longer, self.shorter)[0]

    @property
    def overlap(self) -> Overlap:
        """The grade of `rarer_share`; below "enough" the rate is flagged."""
        return length_overlap(self.rate.n, self.longer, self.shorter)[1]

    @property
    def extrapolated(self) -> bool:
        """Is one model's response the longer one on every prompt? Then nothing shows what equal length would do."""
        return self.overlap == "none"

    def as_dict(self) -> dict[str, Any]:
        """The rate's interval, with the other fields beside it."""
        return {
            **self.rate.as_dict(),
            "length_effect": round(self.length_effect, 6),
            "longer": self.longer,
            "shorter": self.shorter,
            "rarer_share": round(self.rarer_share, 6),
            "overlap": self.overlap,
            "extrapolated": self.extrapolated,
        }


def length_controlled(
    points: Sequence[float], differences: Sequence[float], *, seed: int, resamples: int = 1000
) -> LengthControlled | None:
    """The length-controlled win rate with its bootstrap interval over prompts.

    `points` and `differences` hold y and d of each prompt that was parsed. None if length cannot be told from the
    models: fewer than two prompts, or every difference the same and not 0.
    """
    if len(points) < 2:
        return None
    y, d = np.asarray(points, dtype=np.float64), np.asarray(differences, dtype=np.float64)
    if y.shape != d.shape:
        raise ValueError(f"{len(y)} points, {len(d)} length differences")
    spread = float(d.std())
    if spread == 0 and d[0] != 0:
        return None
    t = np.tanh(d / spread) if spread else np.zeros_like(d)
    rate, phi = fit(y, t, np.ones((1, len(y))))
    rates = np.concatenate([fit(y, t, weights)[0] for weights in resampled_weights(len(y), seed, resamples)])
    interval = percentile_interval(float(rate[0]), rates, len(y))
    return LengthControlled(interval, float(phi[0]), int((d > 0).sum()), int((d < 0).sum()))


def fit(y: Array, t: Array, weights: Array) -> tuple[Array, Array]:
    """Fit the regression once for each row of `weights` (resamples, prompts); return the rates and φ of each.

    Newton's method on θ and φ, each γ_x at its best for the present θ and φ.
    """
    theta, phi = np.zeros(len(weights)), np.zeros(len(weights))
    for _ in range(_STEPS):
        eta = theta[:, None] + phi[:, None] * t
        gamma = _difficulty(eta, y)
        p = _sigmoid(eta + gamma)
        # By the envelope theorem the gradient in η is p − y; γ's answer to a change of η flattens the curvature.
        slope = weights * (p - y)
        curvature = p * (1 - p)
        curvature = weights * curvature * GAMMA_PENALTY / (GAMMA_PENALTY + curvature)
        g_theta, g_phi = slope.sum(1) + THETA_PENALTY * theta, slope @ t + PHI_PENALTY * phi
        a, b, c = curvature.sum(1) + THETA_PENALTY, curvature @ t, curvature @ t**2 + PHI_PENALTY
        determinant = a * c - b * b
        step_theta, step_phi = (c * g_theta - b * g_phi) / determinant, (a * g_phi - b * g_theta) / determinant
        size = np.maximum(np.abs(step_theta), np.abs(step_phi))
        damping = np.minimum(1, _LARGEST_STEP / np.maximum(size, _TOLERANCE))
        theta, phi = theta - damping * step_theta, phi - damping * step_phi
        if size.max() < _TOLERANCE:
            break
    gamma = _difficulty(theta[:, None] + phi[:, None] * t, y)
    rates = (weights * _sigmoid(theta[:, None] + gamma)).sum(1) / weights.sum(1)
    return rates, phi


def _difficulty(eta: Array, y: Array) -> Array:
    """γ that minimises cross-entropy(y, σ(η + γ)) + ½·penalty·γ², by Newton's method; its derivative lies between the
    penalty and the penalty plus ¼, so a few steps reach machine precision."""
    gamma = np.zeros_like(eta)
    for _ in range(_INNER):
        p = _sigmoid(eta + gamma)
        gamma = gamma - (p - y + GAMMA_PENALTY * gamma) / (p * (1 - p) + GAMMA_PENALTY)
    return gamma


def _sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-np.clip(x, -500, 500)))
    return result
