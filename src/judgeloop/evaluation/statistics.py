"""Means and shares with their uncertainty. The unit of resampling is the prompt: answers to one prompt are alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judgeloop.records import derive_seed

_CHUNK = 4_000_000  # resampled values held at once, about 32 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate over `n` units (prompts, unless said otherwise) with the ends of its confidence interval."""

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        """`{"value", "low", "high", "n"}`, rounded to six decimals."""
        return {"value": round(self.value, 6), "low": round(self.low, 6), "high": round(self.high, 6), "n": self.n}


def mean_interval(
    values: Sequence[float],
    *,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
    bounds: tuple[float, float] | None = None,
) -> Interval | None:
    """Mean of one value a prompt, with the percentile bootstrap interval over prompts (Efron 1979).

    The same seed, values and resamples give the same interval. None if there are no values. With few prompts
    the interval is too narrow: look at `n`. If all values are equal it would have no width; values within `bounds`
    then have Wilson's score interval (1927), taken as shares of the way from one bound to the other.
    """
    if not values:
        return None
    data = np.asarray(values, dtype=np.float64)
    n = len(data)
    if bounds is not None and len(set(values)) == 1:
        least, most = bounds
        low, high = _score_interval((values[0] - least) / (most - least), n, confidence)
        return Interval(values[0], least + low * (most - least), least + high * (most - least), n)
    rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
    means = np.empty(resamples)
    rows = max(1, _CHUNK // n)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        means[start:stop] = data[rng.integers(n, size=(stop - start, n))].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(data.mean()), float(low), float(high), n)


def _score_interval(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a share that n units have in the mean; for shares between 0 and 1 it errs on the wide
    side."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def ratio_interval(
    parts: Sequence[float], wholes: Sequence[float], *, seed: int, resamples: int = 1000, confidence: float = 0.95
) -> Interval | None:
    """Sum of the parts over the sum of the wholes, one of each a prompt, with the percentile bootstrap over prompts.

    For shares of things of which a prompt has several (instructions that were followed): those of one prompt stay
    together. `n` counts the prompts with a whole above 0. None if there are none.
    """
    kept = [(part, whole) for part, whole in zip(parts, wholes, strict=True) if whole > 0]
    if not kept:
        return None
    data = np.asarray(kept, dtype=np.float64)
    ratios = np.concatenate(
        [(sums := weights @ data)[:, 0] / sums[:, 1] for weights in resampled_weights(len(kept), seed, resamples)]
    )
    value = float(data[:, 0].sum() / data[:, 1].sum())
    return percentile_interval(value, ratios, len(kept), confidence)


def resampled_weights(n: int, seed: int, resamples: int) -> Iterator[NDArray[np.float64]]:
    """Bootstrap resamples of n units as (rows, n) arrays of how often each unit was drawn, some rows at a time."""
    rng = np.random.default_rng(derive_seed(seed, "bootstrap", "weights"))
    rows = max(1, _CHUNK // n)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)


def percentile_interval(value: float, resampled: NDArray[np.float64], n: int, confidence: float = 0.95) -> Interval:
    """An estimate with the percentiles of its bootstrap resamples."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(value, float(low), float(high), n)


def proportion_interval(successes: int, n: int, *, confidence: float = 0.95) -> Interval | None:
    """Share of successes among `n` independent units, with the Wilson score interval (Wilson 1927).

    Unlike the bootstrap it does not collapse at 0 and 1. None if n is 0.
    """
    if n == 0:
        return None
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    from scipy import stats  # half a second, which who only resamples does not need

    bounds = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(successes / n, float(bounds.low), float(bounds.high), n)


def spearman_correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Spearman's ρ (average ranks for ties). None with fewer than two values, or if either side is constant."""
    if len(x) < 2 or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    from scipy import stats

    return float(stats.spearmanr(x, y).statistic)


def as_dict(interval: Interval | None) -> dict[str, Any] | None:
    """`Interval.as_dict`, or None if there is no interval."""
    return None if interval is None else interval.as_dict()
