import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from judgeloop.evaluation.agreement import agreement, exact_match, five_best, kendall, pairwise_accuracy, spearman


def test_pairwise_accuracy_by_hand() -> None:
    # Humans: a best, b and c tied, d worst: five ordered pairs. The judge: a 4, b 4, c 1, d 2.
    # a-b tied by the judge, a-c right, a-d right, b-d right, c-d wrong; b-c left out.
    scores, ranks = [4.0, 4.0, 1.0, 2.0], [0, 1, 1, 2]
    assert pairwise_accuracy(scores, ranks, ties="half") == pytest.approx(3.5 / 5)
    assert pairwise_accuracy(scores, ranks, ties="wrong") == pytest.approx(3 / 5)


def test_pairwise_accuracy_undefined_where_humans_order_nothing() -> None:
    assert pairwise_accuracy([1.0, 2.0], [0, 0], ties="half") is None
    assert pairwise_accuracy([1.0], [0], ties="half") is None


def test_five_best_by_hand() -> None:
    # Three responses got a perfect 5, two of them are (tied) best for humans.
    assert five_best([5.0, 5.0, 5.0, 3.0], [0, 0, 2, 1]) == pytest.approx(2 / 3)
    assert five_best([4.9, 3.0], [0, 1]) is None
    assert five_best([4.9, 3.0], [0, 1], perfect=4.5) == 1.0


def test_exact_match_by_hand() -> None:
    assert exact_match([3.0, 2.0, 1.0], [0, 1, 2]) == 1.0
    assert exact_match([3.0, 1.0, 2.0], [0, 1, 2]) == 0.0
    assert exact_match([3.0, 2.0, 2.0], [0, 1, 2]) == 0.0  # the judge ties what humans order
    assert exact_match([3.0, 2.0, 1.0], [0, 1, 1]) == 1.0  # humans tie what the judge orders
    assert exact_match([3.0, 2.0], [1, 1]) is None


def test_responses_without_a_score() -> None:
    # b has none: a-c is the only pair left, and right. b may be anywhere, so the whole order is not known.
    assert pairwise_accuracy([4.0, None, 2.0], [0, 1, 2], ties="wrong") == 1.0
    assert exact_match([4.0, None, 2.0], [0, 1, 2]) is None
    assert spearman([4.0, None, 2.0], [0, 1, 2]) == pytest.approx(1.0)
    assert kendall([4.0, None, 2.0], [0, 1, 2]) == pytest.approx(1.0)
    assert kendall([4.0, None, None], [0, 1, 2]) is None
    # The human best has no score: the perfect 5 went to the second best, which is not the best.
    assert five_best([None, 5.0, 1.0], [0, 1, 2]) == 0.0
    assert pairwise_accuracy([None, None], [0, 1], ties="half") is None


def test_spearman_and_kendall_by_hand() -> None:
    # Quality order a > b > c > d; the judge swaps b and c. ρ = 1 - 6·2/(4·15) = 0.8; τ = (5 - 1)/6.
    scores, ranks = [4.0, 2.0, 3.0, 1.0], [0, 1, 2, 3]
    assert spearman(scores, ranks) == pytest.approx(0.8)
    assert kendall(scores, ranks) == pytest.approx(4 / 6)
    # τ-b with a judge's tie: 5 concordant, 0 discordant, one tied: 5/√(5·6).
    assert kendall([4.0, 3.0, 3.0, 1.0], [0, 1, 2, 3]) == pytest.approx(5 / 30**0.5)
    assert kendall([2.0, 2.0], [0, 1]) is None
    assert kendall([2.0, 1.0], [1, 1]) is None
    assert kendall([2.0], [0]) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=2, max_size=12))
def test_correlations_equal_scipy(pairs: list[tuple[int, int]]) -> None:
    scores, ranks = [float(s) for s, _ in pairs], [float(r) for _, r in pairs]
    if len(set(scores)) == 1 or len(set(ranks)) == 1:
        assert spearman(scores, ranks) is None
        assert kendall(scores, ranks) is None
        return
    assert spearman(scores, ranks) == pytest.approx(-stats.spearmanr(scores, ranks).statistic)
    assert kendall(scores, ranks) == pytest.approx(-stats.kendalltau(scores, ranks).statistic)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=2, max_size=8))
def test_two_conventions_enclose_the_truth(pairs: list[tuple[int, int]]) -> None:
    scores, ranks = [float(s) for s, _ in pairs], [float(r) for _, r in pairs]
    half, wrong = (pairwise_accuracy(scores, ranks, ties="half"), pairwise_accuracy(scores, ranks, ties="wrong"))
    if half is None or wrong is None:
        assert half is wrong
        return
    flipped = pairwise_accuracy([-s for s in scores], ranks, ties="half")
    assert wrong <= half
    assert flipped == pytest.approx(1 - half)


def test_agreement_averages_prompts_and_counts_what_is_missing() -> None:
    rows: list[tuple[list[float | None], list[float]]] = [
        ([5.0, 3.0, 1.0], [0, 1, 2]),  # all right
        ([1.0, 2.0, None], [0, 1, 2]),  # the third has no score; the other two are the wrong way round
        ([2.0, 2.0], [0, 1]),  # tied
        ([None, 4.0], [0, 1]),  # one left: nothing to compare
    ]
    found = agreement(rows, seed=0)
    assert (found.prompts, found.responses, found.missing) == (4, 10, 2)
    assert found.pairwise_ties_half is not None
    assert found.pairwise_ties_half.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert found.pairwise_ties_half.n == 3
    assert found.pairwise_ties_wrong is not None
    assert found.pairwise_ties_wrong.value == pytest.approx(1 / 3)
    assert found.five_best is not None
    assert (found.five_best.value, found.five_best.n) == (1.0, 1)
    assert found.exact_match is not None
    assert (found.exact_match.value, found.exact_match.n) == (0.5, 2)  # the second has a score missing
    assert found.spearman is not None
    assert (found.spearman.value, found.spearman.n) == (pytest.approx(0.0), 2)
    assert found.kendall is not None
    assert (found.kendall.value, found.kendall.n) == (pytest.approx(0.0), 2)
    assert found.kendall.low == -1.0
    assert found.kendall.high == 1.0


def test_agreement_of_a_judge_without_scores_is_undefined_not_zero() -> None:
    found = agreement([([None, None], [0, 1])], seed=0).as_dict()
    assert found == {
        "pairwise_ties_half": None,
        "pairwise_ties_wrong": None,
        "five_best": None,
        "exact_match": None,
        "spearman": None,
        "kendall": None,
        "prompts": 1,
        "responses": 2,
        "missing": 2,
    }


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        agreement([([1.0], [0, 1])], seed=0)
