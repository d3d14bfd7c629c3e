"""How wrong the win rate at equal length is where one side's responses mostly are the longer ones: under weaker
penalties on the effect of length, and how often two kinds of interval cover it.

Simulated judges: their log-odds for the model are θ, the effect of length, and the prompt's own (standard normal), plus
or minus ½ for the place in which the model's response is shown; asked in both orders. What length does has three
shapes, of which the fit knows the first: tanh(d / s), d / s, and the logarithm of the ratio of both lengths; its size
is drawn from 0 to 2 and θ from −1 to 1. Errors are against the rate that the same judge gives at equal lengths.

    python benchmarks/length_overlap.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import chi2, norm

from judgeloop.evaluation import length_control
from judgeloop.evaluation.statistics import resampled_weights

Array = NDArray[np.float64]
RARER = {"20–50%": (0.2, 0.5), "10–20%": (0.1, 0.2), "5–10%": (0.05, 0.1), "under 5%": (0.01, 0.05)}
PENALTIES = (0.1, 0.03, 0.01, 0.001)
GRID = 121
SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "tanh": lambda ours, theirs: np.tanh((ours - theirs) / (ours - theirs).std()),
    "linear": lambda ours, theirs: (ours - theirs) / (ours - theirs).std(),
    "ratio": lambda ours, theirs: np.log(ours / theirs) / np.log(ours / theirs).std(),
}


@dataclass(frozen=True)
class Judged:
    """Points of each prompt, t of the fit, and the rate at equal length."""

    points: Array
    t: Array
    truth: float


def judged(rng: np.random.Generator, shape: str, rarer: tuple[float, float], prompts: int) -> Judged:
    shift = -norm.ppf(rng.uniform(*rarer))  # so that as large a share of the differences is below 0
    theirs = rng.gamma(9, 100 / 3, prompts) + 100  # 400 characters, give or take 100
    ours = np.maximum(theirs + 120 * rng.normal(shift, 1, prompts), 20)
    own, theta, effect = rng.normal(0, 1, prompts), rng.uniform(-1, 1), rng.uniform(0, 2)
    logits = theta + effect * SHAPES[shape](ours, theirs) + own
    points = np.mean([rng.random(prompts) < expit(logits + side) for side in (0.5, -0.5)], axis=0)
    differences = ours - theirs
    return Judged(points, np.tanh(differences / differences.std()), float(expit(theta + own).mean()))


def estimate(found: Judged, penalty: float, weights: Array | None = None) -> Array:
    """The rates under a penalty on φ, one for each row of weights."""
    length_control.PHI_PENALTY = penalty
    ones = np.ones((1, len(found.points)))
    return length_control.fit(found.points, found.t, ones if weights is None else weights)[0]


def profile(found: Judged, penalty: float) -> tuple[float, float]:
    """The rates at the ends of the profile-likelihood interval of θ (95%), φ and the prompts' own at their best."""
    y, t = found.points, found.t
    theta = np.linspace(-6, 6, GRID)
    phi = np.zeros(GRID)
    for _ in range(30):
        eta = theta[:, None] + phi[:, None] * t
        gamma = length_control._difficulty(eta, y)
        p = expit(eta + gamma)
        curvature = p * (1 - p) / (1 + p * (1 - p))
        step = ((p - y) @ t + penalty * phi) / (curvature @ t**2 + penalty)
        phi = phi - np.clip(step, -2, 2)
    gamma = length_control._difficulty(theta[:, None] + phi[:, None] * t, y)
    eta = theta[:, None] + phi[:, None] * t + gamma
    loss = (np.logaddexp(0, eta) - y * eta + gamma**2 / 2).sum(1) + penalty * phi**2 / 2
    inside = np.flatnonzero(2 * (loss - loss.min()) <= chi2.ppf(0.95, 1))
    rates = expit(theta[:, None] + gamma).mean(1)
    return float(rates[inside].min()), float(rates[inside].max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=200, help="for the errors; half of them for intervals")
    parser.add_argument("--prompts", type=int, nargs="+", default=[100, 250])
    options = parser.parse_args()
    shipped, weaker = PENALTIES[0], PENALTIES[2]
    heads = ["prompts", "length", "rarer side", "raw error", *(f"error ({penalty:g})" for penalty in PENALTIES)]
    heads += [f"bias ({shipped:g})", f"bias ({PENALTIES[-1]:g})"]
    heads += [f"covered: bootstrap ({shipped:g})", f"({weaker:g})", f"profile ({weaker:g})", "their widths"]
    print("|", " | ".join(heads), "|")
    print("|" + "---|" * len(heads))
    for prompts in options.prompts:
        for place, shape in enumerate(SHAPES):
            for row, (name, rarer) in enumerate(RARER.items()):
                rng = np.random.default_rng([prompts, place, row])
                errors: list[list[float]] = []
                spans: list[list[float]] = []
                for number in range(options.simulations):
                    found = judged(rng, shape, rarer, prompts)
                    rates = [float(estimate(found, penalty)[0]) for penalty in PENALTIES]
                    errors.append([rate - found.truth for rate in (float(found.points.mean()), *rates)])
                    if number % 2 == 0:
                        spans.append(_covered(found, number, shipped, weaker))
                off, bias = 100 * np.abs(errors).mean(0), 100 * np.mean(errors, axis=0)
                covered = np.mean(spans, axis=0)
                cells = [*(f"{value:.1f}" for value in off), f"{bias[1]:+.1f}", f"{bias[-1]:+.1f}"]
                cells += [*(f"{value:.0%}" for value in covered[:3]), ", ".join(f"{100 * v:.0f}" for v in covered[3:])]
                print("|", " | ".join([str(prompts), shape, name, *cells]), "|", flush=True)
    length_control.PHI_PENALTY = shipped


def _covered(found: Judged, seed: int, shipped: float, weaker: float) -> list[float]:
    """Whether bootstrap (under both penalties) and profile (under the weaker) cover; and how wide they are."""
    spans = []
    for penalty in (shipped, weaker):
        rows = resampled_weights(len(found.points), seed, 200)
        drawn = np.concatenate([estimate(found, penalty, weights) for weights in rows])
        spans.append(tuple(np.quantile(drawn, [0.025, 0.975])))
    spans.append(profile(found, weaker))
    return [float(low <= found.truth <= high) for low, high in spans] + [high - low for low, high in spans]


if __name__ == "__main__":
    main()
