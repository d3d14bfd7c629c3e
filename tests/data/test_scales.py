"""Which ratings are good enough to imitate, on every scale that they may fit."""

from __future__ import annotations

import pytest

from judgeloop.data.scales import highest_good, lowest_good


@pytest.mark.parametrize(
    ("values", "good"),
    [
        ([-1, -1, -1, 1], [1]),
        ([-1, 0, 1], [1]),
        ([0, 1], [1]),
        ([0.2, 0.5, 0.9], [0.5, 0.9]),
        ([0, 1, 2], [2]),
        ([0, 1, 2, 3, 4], [3, 4]),
        ([0, 2, 3], [3]),
        ([1, 2, 3, 4], [4]),
        ([1, 2, 3], []),
        ([1, 2, 3, 4, 5], [4, 5]),
        ([0, 3, 5], [3, 5]),
        ([1, 5, 6, 10], [6, 10]),
        ([0, 50, 51], [51]),
        ([-4.0, -3.0, -2.0, 1.0], [1.0]),
        ([-4.0, 2.0, 3.0, 5.0], [3.0, 5.0]),
        ([150, 300, 500], [300, 500]),
    ],
)
def test_only_the_better_half_may_be_imitated(values: list[float], good: list[float]) -> None:
    assert [value for value in values if value >= lowest_good(values)] == good


@pytest.mark.parametrize(
    ("values", "good"),
    [([2.5, 2.5], [2.5, 2.5]), ([1.1, 2.2, 3.3], [2.2, 3.3]), ([0, 1], [1]), ([1, 2, 4], [4]), ([-2.0, -1.0], [])],
)
def test_rewards_are_halved_at_their_median(values: list[float], good: list[float]) -> None:
    assert [value for value in values if value >= lowest_good(values, scaled=False)] == good


def test_a_total_is_the_end_of_the_scale() -> None:
    assert [value for value in (1, 3, 4) if value >= lowest_good([1, 3, 4], total=10)] == []
    assert [value for value in (1, 3, 4) if value >= lowest_good([1, 3, 4], total=5)] == [4]


@pytest.mark.parametrize(
    ("values", "good"),
    [
        ([0, 1], [0]),
        ([0.02, 0.5, 0.97], [0.02]),
        ([1, 3, 5], [1]),
        ([90, 120, 300], [90, 120]),
        ([], []),
    ],
)
def test_of_faults_the_fewer_half(values: list[float], good: list[float]) -> None:
    assert [value for value in values if value <= highest_good(values)] == good
