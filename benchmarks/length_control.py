"""How much of a planted length bias is left in the win rate, without control and with two ways of control.

A simulated judge: its log-odds for the model are θ + 1.5·tanh(d/s) + the prompt's own (standard normal), plus or minus
½ for the place in which the model's response is shown; asked in both orders. The model's responses are one standard
deviation longer. Figures are means over simulations of the estimate minus what it would be at equal length.

    python benchmarks/length_control.py
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from judgeloop.evaluation import length_control

Array = NDArray[np.float64]
GRID = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
FOLDS = 5


def judged(seed: int, prompts: int) -> tuple[Array, Array, float]:
    """Points of each prompt, length differences, and the win rate at equal length."""
    rng = np.random.default_rng(seed)
    differences = rng.normal(1, 1, prompts) * 150
    own = rng.normal(0, 1, prompts)
    logits = -0.5 + 1.5 * np.tanh(differences / differences.std()) + own
    verdicts = [rng.random(prompts) < expit(logits + side) for side in (0.5, -0.5)]
    return np.mean(verdicts, axis=0), differences, float(expit(-0.5 + own).mean())


def cross_validated(points: Array, t: Array, seed: int) -> float:
    """The penalty on φ that predicts left-out prompts best (their own difficulty being unknown)."""
    folds = np.random.default_rng(seed).integers(0, FOLDS, len(points))
    losses = []
    for penalty in GRID:
        total = 0.0
        for fold in range(FOLDS):
            kept = folds != fold

            def objective(v: Array, kept: NDArray[np.bool_] = kept, penalty: float = penalty) -> float:
                logits = v[0] + v[1] * t[kept]
                return float((np.logaddexp(0, logits) - points[kept] * logits).sum() + penalty * v[1] ** 2 / 2)

            theta, phi = minimize(objective, np.zeros(2)).x
            logits = theta + phi * t[~kept]
            total += float((np.logaddexp(0, logits) - points[~kept] * logits).sum())
        losses.append(total)
    return GRID[int(np.argmin(losses))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=100)
    parser.add_argument("--prompts", type=int, nargs="+", default=[50, 100, 250])
    options = parser.parse_args()
    fixed = length_control.PHI_PENALTY
    print(
        "| prompts | raw rate | cross-validated | fixed penalty | interval covers the truth |",
        "|---|---|---|---|---|",
        sep="\n",
    )
    for prompts in options.prompts:
        raw, validated, controlled, covered = [], [], [], []
        for seed in range(options.simulations):
            points, differences, truth = judged(seed, prompts)
            t = np.tanh(differences / differences.std())
            length_control.PHI_PENALTY = cross_validated(points, t, seed)
            validated.append(float(length_control.fit(points, t, np.ones((1, prompts)))[0][0]) - truth)
            length_control.PHI_PENALTY = fixed
            found = length_control.length_controlled(list(points), list(differences), seed=seed, resamples=300)
            assert found is not None
            raw.append(float(points.mean()) - truth)
            controlled.append(found.rate.value - truth)
            covered.append(found.rate.low <= truth <= found.rate.high)
        means = " | ".join(f"{np.mean(errors):+.3f}" for errors in (raw, validated, controlled))
        print(f"| {prompts} | {means} | {np.mean(covered):.0%} |")


if __name__ == "__main__":
    main()
