from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgeloop.eft.rank_agreement import Choice, Ties, agree, by_chance, choose


@pytest.mark.parametrize(
    ("ranks", "scores", "strict", "lenient"),
    [
        ((0, 1, 2), (5, 3, 1), True, True),
        ((0, 1, 2), (5, 3, 3), False, True),
        ((0, 1, 2), (5, 1, 3), False, False),
        ((0, 1, 2), (3, 3, 3), False, False),
        ((0, 0, 1), (4, 2, 1), True, True),  # people's ties ask for nothing
        ((0, 0, 1), (2, 4, 1), True, True),
        ((0, 0, 1), (2, 4, 2), False, True),
        ((0, 0, 1), (2, 4, 3), False, False),
        ((0, 1, 1), (3, 2, 0), True, True),
    ],
)
def test_agreement_by_hand(ranks: Sequence[int], scores: Sequence[int], strict: bool, lenient: bool) -> None:
    assert agree(ranks, scores, "strict") is strict
    assert agree(ranks, scores, "lenient") is lenient


@pytest.mark.parametrize(
    ("samples", "ties", "expected"),
    [
        ([[4, 1], [2, 3]], "strict", Choice("first", (0, 0))),
        ([[None, 4], [2, 3]], "strict", Choice("later", (1, 1))),
        ([[1, 3], [3, 2]], "strict", Choice("later", (1, 1))),
        ([[1, 4], [2, 5]], "strict", Choice("combined", (1, 0))),
        ([[None, 4], [2, None]], "strict", Choice("combined", (1, 0))),
        ([[3, 3], [3, 4]], "strict", Choice("tied")),
        ([[3, 3], [3, 4]], "lenient", Choice("tied")),  # all tie
        ([[1, 2], [3, 4]], "strict", Choice("disagreed")),
        ([[1, 5], [None, None]], "strict", Choice("unparseable")),
    ],
)
def test_what_becomes_of_a_set_by_hand(samples: list[list[int | None]], ties: Ties, expected: Choice) -> None:
    assert choose((0, 1), samples, ties) == expected


def slowly(ranks: Sequence[int], samples: Sequence[Sequence[int | None]], ties: Ties) -> tuple[int, ...] | None:
    """Every combination, in the order of sample numbers."""
    for numbers in itertools.product(range(len(samples[0])), repeat=len(ranks)):
        scores = [row[k] for row, k in zip(samples, numbers, strict=True)]
        whole = [score for score in scores if score is not None]
        if len(whole) == len(ranks) and agree(ranks, whole, ties):
            return numbers
    return None


@st.composite
def sets(draw: st.DrawFn) -> tuple[list[int], list[list[int | None]]]:
    steps = draw(st.lists(st.integers(0, 1), min_size=1, max_size=4))
    ranks = [0, *itertools.accumulate(steps)]
    number = draw(st.integers(1, 3))
    score = st.one_of(st.none(), st.integers(0, 3))
    return ranks, draw(st.lists(st.lists(score, min_size=number, max_size=number), min_size=len(ranks),
                                max_size=len(ranks)))  # fmt: skip


@given(sets(), st.sampled_from(["strict", "lenient"]))
def test_a_choice_is_found_where_there_is_one(found: tuple[list[int], list[list[int | None]]], ties: Ties) -> None:
    ranks, samples = found
    choice = choose(ranks, samples, ties)
    possible = slowly(ranks, samples, ties)
    assert bool(choice.samples) == (possible is not None)
    if choice.outcome == "combined":
        assert choice.samples == possible
    elif choice.samples:
        assert len(set(choice.samples)) == 1
        scores = [row[choice.samples[0]] for row in samples]
        assert agree(ranks, [score for score in scores if score is not None], ties)
        assert None not in scores


def test_many_responses_with_many_samples_take_no_time() -> None:
    ranks = list(range(6)) + [5] * 20
    samples: list[list[int | None]] = [[0, 1, 2, 3, 4, 5] * 10 for _ in ranks]
    assert choose(ranks, samples, "strict").outcome == "combined"
    hopeless: list[list[int | None]] = [[0, 5] * 30 for _ in range(26)]
    assert choose(list(range(26)), hopeless, "strict").outcome == "tied"


def test_chance_is_what_shuffled_scores_give() -> None:
    ranks = [(0, 1)] * 2000
    informed: list[list[list[int | None]]] = [[[5], [0]] for _ in ranks]
    assert sum(choose(r, s, "strict").outcome == "first" for r, s in zip(ranks, informed, strict=True)) == 2000
    assert by_chance(ranks, informed, "strict", 0) == pytest.approx(500, abs=40)  # 5 before 0: a quarter
    assert by_chance(ranks, informed, "strict", 0) == by_chance(ranks, informed, "strict", 0)
    assert by_chance([], [], "strict", 0) == 0.0
