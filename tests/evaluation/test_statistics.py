import math

import numpy as np
import pytest

from judgeloop.evaluation import statistics as stats
from judgeloop.evaluation.statistics import (
    Interval,
    mean_interval,
    percentile_interval,
    proportion_interval,
    ratio_interval,
    resampled_weights,
    spearman_correlation,
)


def test_mean_interval_by_hand() -> None:
    # Two prompts at 0 and 1: a resample's mean is 0, ½ or 1 with probability ¼, ½, ¼, so the 95% interval is all of it.
    found = mean_interval([0.0, 1.0], seed=1)
    assert found == Interval(0.5, 0.0, 1.0, 2)
    # The 40% interval cuts 30% at each end, past the quarter that lies at 0 and at 1.
    assert mean_interval([0.0, 1.0], seed=1, confidence=0.4) == Interval(0.5, 0.5, 0.5, 2)


def test_interval_is_deterministic_by_seed() -> None:
    values = list(np.random.default_rng(0).normal(size=50))
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_interval_width_is_that_of_the_normal_approximation() -> None:
    values = list(np.random.default_rng(0).normal(2.0, 1.0, size=400))
    found = mean_interval(values, seed=0, resamples=4000)
    assert found is not None
    half = 1.96 * float(np.std(values)) / 20
    assert found.high - found.low == pytest.approx(2 * half, rel=0.08)
    assert found.low < found.value < found.high


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for k in range(300):
        found = mean_interval(list(rng.binomial(1, 0.3, size=60).astype(float)), seed=k, resamples=400)
        assert found is not None
        hits += found.low <= 0.3 <= found.high
    assert 0.90 <= hits / 300 <= 0.98


def test_chunked_resampling_equals_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [0.1 * k for k in range(20)]
    whole = mean_interval(values, seed=2)
    monkeypatch.setattr(stats, "_CHUNK", 100)
    assert mean_interval(values, seed=2) == whole


def test_no_values_no_interval() -> None:
    assert mean_interval([], seed=0) is None
    assert proportion_interval(0, 0) is None
    assert stats.as_dict(None) is None


def test_as_dict_rounds() -> None:
    assert Interval(1 / 3, 0.1, 0.5, 9).as_dict() == {"value": 0.333333, "low": 0.1, "high": 0.5, "n": 9}


def test_wilson_by_hand() -> None:
    # 8 of 10, z = 1.96: (0.8 + 0.19207) / 1.38415 = 0.71674; half 1.96/1.38415·√(0.016 + 0.009604) = 0.22658.
    found = proportion_interval(8, 10)
    assert found is not None
    assert found.value == 0.8
    assert found.low == pytest.approx(0.4902, abs=1e-4)
    assert found.high == pytest.approx(0.9433, abs=1e-4)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 40), (3, 7), (39, 40), (40, 40), (812, 1000)])
def test_wilson_is_the_closed_formula(successes: int, n: int) -> None:
    z, share = 1.959963984540054, successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    found = proportion_interval(successes, n)
    assert found is not None
    assert (found.value, found.n) == (share, n)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_wilson_does_not_collapse_at_one() -> None:
    found = proportion_interval(10, 10)
    assert found is not None
    assert found.high == 1.0
    assert found.low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6)
    none = proportion_interval(0, 10)
    assert none is not None
    assert none.low == 0.0
    with pytest.raises(ValueError, match="11 successes of 10"):
        proportion_interval(11, 10)


def test_spearman_by_hand() -> None:
    # Ranks 1 2 3 4 against 2 1 4 3: Σd² = 4, ρ = 1 - 6·4/(4·15) = 0.6.
    assert spearman_correlation([1, 2, 3, 4], [20, 10, 40, 30]) == pytest.approx(0.6)
    assert spearman_correlation([1.0], [2.0]) is None
    assert spearman_correlation([3, 3, 3], [1, 2, 3]) is None
    assert spearman_correlation([1, 2, 3], [3, 3, 3]) is None
    value = spearman_correlation([1, 2], [2, 1])
    assert value is not None
    assert math.isclose(value, -1.0)


def test_ratio_interval_by_hand() -> None:
    # Prompts with 1 of 1 and 0 of 3: 1/4 in all. A resample is (1,1): 1, (1,2) or (2,1): 1/4, (2,2): 0.
    found = ratio_interval([1.0, 0.0], [1, 3], seed=1)
    assert found == Interval(0.25, 0.0, 1.0, 2)
    # Things of one prompt stay together: 50 prompts with all or none followed are as uncertain as 50 things.
    together = ratio_interval([4.0, 0.0] * 25, [4] * 50, seed=0)
    single = mean_interval([1.0, 0.0] * 25, seed=0)
    assert together is not None
    assert single is not None
    assert together.high - together.low == pytest.approx(single.high - single.low, abs=0.05)
    assert ratio_interval([0.0, 2.0], [0, 4], seed=0) == Interval(0.5, 0.5, 0.5, 1)  # a prompt with nothing to count
    assert ratio_interval([], [], seed=0) is None


def test_resampled_weights_are_draws_of_n_from_n(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_CHUNK", 100)
    chunks = list(resampled_weights(20, 0, 12))
    assert [chunk.shape for chunk in chunks] == [(5, 20), (5, 20), (2, 20)]
    weights = np.concatenate(chunks)
    assert (weights.sum(1) == 20).all()
    assert weights.mean() == 1.0
    assert len(np.unique(weights, axis=0)) == 12


def test_percentile_interval_by_hand() -> None:
    found = percentile_interval(7.0, np.arange(101.0), 3, 0.9)
    assert (found.value, found.n) == (7.0, 3)
    assert (found.low, found.high) == pytest.approx((5.0, 95.0))


@pytest.mark.parametrize(("value", "n"), [(1.0, 1), (0.0, 1), (1.0, 30), (0.0, 30), (0.5, 30)])
def test_equal_values_within_bounds_keep_an_interval(value: float, n: int) -> None:
    found = mean_interval([value] * n, seed=0, bounds=(0, 1))
    assert found is not None
    wilson = proportion_interval(round(value * n), n)
    assert wilson is not None
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=1e-9)
    assert found.high > found.low
    apart = mean_interval([2 * value - 1] * n, seed=0, bounds=(-1, 1))
    assert apart is not None
    assert (apart.low, apart.high) == pytest.approx((2 * found.low - 1, 2 * found.high - 1))


def test_one_lost_prompt_is_not_clear_of_half() -> None:
    found = mean_interval([0.0], seed=0, bounds=(0, 1))
    assert found is not None
    assert found.low == 0.0
    assert found.high > 0.5
