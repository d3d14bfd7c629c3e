"""The length-controlled win rate, against an optimiser of scipy's and against judges whose bias is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from judgeloop.evaluation.length_control import (
    GAMMA_PENALTY,
    PHI_PENALTY,
    THETA_PENALTY,
    fit,
    length_controlled,
)

Array = NDArray[np.float64]


def simulated(
    seed: int, prompts: int, *, model: float, length: float, longer: float, position: float = 0.5
) -> tuple[Array, Array, float]:
    """A judge whose log-odds for the model are model + length·tanh(d/sd) + the prompt's own, ± the position; asked in
    both orders. `longer`: by how many standard deviations the model's responses are longer. Returns points, length
    differences, and what the win rate would be at equal length."""
    rng = np.random.default_rng(seed)
    differences = rng.normal(longer, 1, prompts) * 200
    own = rng.normal(0, 1, prompts)
    logits = model + length * np.tanh(differences / differences.std()) + own
    verdicts = [rng.random(prompts) < expit(logits + side) for side in (position, -position)]
    return np.mean(verdicts, axis=0), differences, float(expit(model + own).mean())


def test_the_fit_is_the_minimum_of_what_is_documented() -> None:
    rng = np.random.default_rng(3)
    n = 80
    d = rng.normal(100, 150, n)
    t, y = np.tanh(d / d.std()), rng.integers(0, 3, n) / 2

    def objective(v: Array) -> float:
        theta, phi, gamma = v[0], v[1], v[2:]
        logits = theta + phi * t + gamma
        penalty = THETA_PENALTY * theta**2 + PHI_PENALTY * phi**2 + GAMMA_PENALTY * (gamma**2).sum()
        return float((np.logaddexp(0, logits) - y * logits).sum() + penalty / 2)

    best = minimize(objective, np.zeros(n + 2), method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-15}).x
    rates, phi = fit(y, t, np.ones((1, n)))
    assert phi[0] == pytest.approx(best[1], abs=1e-3)
    assert rates[0] == pytest.approx(expit(best[0] + best[2:]).mean(), abs=1e-4)


def test_a_prompt_that_counts_twice_is_two_prompts() -> None:
    y, t = np.array([1.0, 0.5, 0.0, 1.0]), np.array([0.3, -0.5, 0.1, 0.9])
    weighted, phi = fit(y, t, np.array([[2.0, 1.0, 0.0, 1.0]]))
    doubled, phi_doubled = fit(np.array([1.0, 1.0, 0.5, 1.0]), np.array([0.3, 0.3, -0.5, 0.9]), np.ones((1, 4)))
    assert weighted == pytest.approx(doubled)
    assert phi == pytest.approx(phi_doubled)


@pytest.mark.parametrize(("model", "length"), [(0.0, 1.5), (-0.5, 1.5), (0.6, -1.2)])
def test_a_planted_length_bias_is_taken_out(model: float, length: float) -> None:
    raw, controlled = [], []
    for seed in range(12):
        points, differences, truth = simulated(seed, 300, model=model, length=length, longer=1.0)
        found = length_controlled(list(points), list(differences), seed=0, resamples=50)
        assert found is not None
        assert found.length_effect * length > 0
        raw.append(points.mean() - truth)
        controlled.append(found.rate.value - truth)
    assert abs(np.mean(raw)) > 0.1  # the plain win rate is off by a lot, in the direction of the bias
    assert np.sign(np.mean(raw)) == np.sign(length)
    assert abs(np.mean(controlled)) < 0.02
    assert np.abs(controlled).max() < 0.12


def test_equal_models_and_a_judge_without_bias_give_a_half() -> None:
    rates = []
    for seed in range(12):
        points, differences, _ = simulated(seed, 300, model=0.0, length=0.0, longer=0.0)
        found = length_controlled(list(points), list(differences), seed=0, resamples=50)
        assert found is not None
        rates.append(found.rate.value)
    assert np.mean(rates) == pytest.approx(0.5, abs=0.015)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(100):
        points, differences, truth = simulated(seed, 80, model=-0.3, length=1.2, longer=0.7)
        found = length_controlled(list(points), list(differences), seed=seed, resamples=200)
        assert found is not None
        hits += found.rate.low <= truth <= found.rate.high
    assert 88 <= hits <= 99


def test_without_differences_in_length_it_is_the_win_rate() -> None:
    found = length_controlled([1.0, 0.5, 0.5, 0.0, 1.0], [0.0] * 5, seed=0)
    assert found is not None
    assert found.rate.value == pytest.approx(0.6, abs=1e-3)
    assert (found.length_effect, found.longer, found.shorter, found.extrapolated) == (0.0, 0, 0, False)


def test_where_length_cannot_be_told_from_the_models_there_is_none() -> None:
    assert length_controlled([1.0, 0.0, 1.0], [30.0, 30.0, 30.0], seed=0) is None
    assert length_controlled([1.0], [3.0], seed=0) is None
    assert length_controlled([], [], seed=0) is None
    with pytest.raises(ValueError, match="2 points, 3 length differences"):
        length_controlled([1.0, 0.0], [1.0, 2.0, 3.0], seed=0)


def test_a_model_that_wins_everything_stays_finite() -> None:
    found = length_controlled([1.0] * 8, [5.0, -3.0, 8.0, 1.0, 2.0, -6.0, 4.0, 0.0], seed=0)
    assert found is not None
    assert 0.99 < found.rate.low <= found.rate.value <= 1.0


def test_longer_on_every_prompt_is_an_extrapolation() -> None:
    points, sizes = [1.0, 0.0, 1.0, 0.5], [5.0, 9.0, 30.0, 2.0]
    for sign in (1, -1):
        found = length_controlled(points, [sign * size for size in sizes], seed=0)
        assert found is not None
        assert found.extrapolated
    mixed = length_controlled(points, [5.0, -9.0, 30.0, 0.0], seed=0)
    assert mixed is not None
    assert (mixed.longer, mixed.shorter, mixed.extrapolated) == (2, 1, False)
    assert mixed.as_dict() == {
        **mixed.rate.as_dict(),
        "length_effect": round(mixed.length_effect, 6),
        "longer": 2,
        "shorter": 1,
        "rarer_share": 0.5,
        "overlap": "enough",
        "extrapolated": False,
    }


@pytest.mark.parametrize(
    ("shorter", "equal", "share", "grade"),
    [(0, 0, 0.0, "none"), (1, 0, 0.05, "hardly"), (2, 0, 0.1, "little"), (3, 0, 0.15, "little"), (4, 0, 0.2, "enough"),
     (1, 3, 0.2, "enough"), (0, 20, 1.0, "enough"), (19, 0, 0.05, "hardly"), (20, 0, 0.0, "none")],
)  # fmt: skip
def test_the_grade_is_how_often_the_rarer_side_occurs(shorter: int, equal: int, share: float, grade: str) -> None:
    differences = [-7.0] * shorter + [0.0] * equal + [5.0 + k for k in range(20 - shorter - equal)]
    if shorter == 20:
        differences = [-5.0 - k for k in range(20)]
    found = length_controlled([1.0, 0.0] * 10, differences, seed=0, resamples=20)
    assert found is not None
    assert (found.overlap, found.extrapolated) == (grade, grade == "none")
    assert found.rarer_share == pytest.approx(share)


def test_the_same_seed_gives_the_same_interval() -> None:
    points, differences, _ = simulated(0, 40, model=0.0, length=1.0, longer=0.5)
    one, same, other = (length_controlled(list(points), list(differences), seed=s) for s in (1, 1, 2))
    assert one == same
    assert one != other
