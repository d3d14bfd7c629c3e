"""How far a judge's scores owe nothing to the prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from judgeloop.evaluation.statistics import Interval, percentile_interval, resampled_weights
from judgeloop.judging.contrast import response_and_other

_LEAST = 1e-12  # squared deviations below this are rounding


def prompt_blindness(
    scores: Mapping[str, float | None], groups: Iterable[Sequence[str]], *, seed: int, resamples: int = 1000
) -> Interval | None:
    """Correlation of responses' own scores with those they get under other prompts, within prompts, with the
    percentile bootstrap over prompts; None if no prompt has two responses that were judged both ways and differ.

    `scores` are mean scores by name, under other prompts by `name_under`; each of `groups` holds the responses to one
    prompt. For each other prompt the two sides' deviations from their means over the group's responses are taken, and
    their products summed over all prompts and others: Σxy / √(Σx² Σy²). So the figure does not depend on how many
    others there are, and neither harder prompts nor stricter others count. 1 is a judge that orders the responses to a
    prompt whatever was asked.
    """
    elsewhere: dict[str, dict[str, float]] = {}
    for name, score in scores.items():
        response, other = response_and_other(name)
        if other is not None and score is not None:
            elsewhere.setdefault(other, {})[response] = score
    known: dict[str, list[str]] = {}
    for other, given in elsewhere.items():
        for response in given:
            known.setdefault(response, []).append(other)
    sums = [found for group in groups if (found := _sums(group, scores, known, elsewhere)) is not None]
    if not sums:
        return None
    data = np.asarray(sums, dtype=np.float64)
    value = _correlation(data.sum(axis=0, keepdims=True))
    if not value.size:
        return None
    drawn = [_correlation(weights @ data) for weights in resampled_weights(len(data), seed, resamples)]
    return percentile_interval(float(value[0]), np.concatenate(drawn), len(data))


def _sums(
    group: Sequence[str],
    scores: Mapping[str, float | None],
    known: Mapping[str, Sequence[str]],
    elsewhere: Mapping[str, Mapping[str, float]],
) -> tuple[float, float, float] | None:
    """Σxy, Σx², Σy² of one prompt, over its other prompts; None if it has no two responses to compare."""
    products = np.zeros(3)
    for other in dict.fromkeys(other for response in group for other in known.get(response, ())):
        both = [(own, elsewhere[other][name]) for name in group if (own := scores.get(name)) is not None
                and name in elsewhere[other]]  # fmt: skip
        if len(both) > 1:
            x, y = np.asarray(both).T - np.asarray(both).mean(axis=0)[:, None]
            products += (x @ y, x @ x, y @ y)
    return tuple(products.tolist()) if products[1] > _LEAST or products[2] > _LEAST else None


def _correlation(sums: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Of rows of sums; those in which a side is constant are left out."""
    usable = sums[(sums[:, 1] > _LEAST) & (sums[:, 2] > _LEAST)]
    return usable[:, 0] / np.sqrt(usable[:, 1] * usable[:, 2])
