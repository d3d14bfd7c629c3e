import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgeloop.evaluation.health import histogram, judge_health, near_top


def test_health_by_hand() -> None:
    scores: list[list[float | None]] = [[4.0, 2.0], [5.0, 5.0], [None, 4.5], [None, None]]
    lengths = [[100, 50], [200, 200], [10, 150], [10, 10]]
    found = judge_health(scores, lengths, seed=0)
    assert found.parse_rate == pytest.approx(5 / 8)
    assert found.histogram == (0, 0, 1, 0, 1, 3)  # 4.5 rounds up
    assert found.top_share == pytest.approx(3 / 5)
    assert found.tie_rate == pytest.approx(1 / 2)  # of the two prompts with two scores, one is tied
    assert found.mean_score is not None
    assert found.mean_score.value == pytest.approx((3 + 5 + 4.5) / 3)
    assert found.mean_score.n == 3
    # Scores 4, 2, 5, 5, 4.5 have average ranks 2, 1, 4.5, 4.5, 3; lengths 100, 50, 200, 200, 150 the same: ρ = 1.
    assert found.length_correlation == pytest.approx(1.0)


def test_parse_rate_of_single_judgements() -> None:
    # Three judgements of one response, one of them unreadable: the response still has a score.
    assert judge_health([[3.0]], [[5]], seed=0, valid=[True, False, True]).parse_rate == pytest.approx(2 / 3)


def test_nothing_scored() -> None:
    found = judge_health([[None]], [[3]], seed=0).as_dict()
    assert found == {
        "scale": [0, 5],
        "parse_rate": 0.0,
        "mean_score": None,
        "histogram": [0, 0, 0, 0, 0, 0],
        "tie_rate": None,
        "top_share": None,
        "length_correlation": None,
        "retest_spread": None,
        "judgements": 1,
    }
    assert judge_health([], [], seed=0).parse_rate is None


def test_retest_spread_by_hand() -> None:
    # Standard deviations of (1, 3) and (2, 2, 5): √2 and √3; the single score says nothing.
    found = judge_health([[2.0, 3.0, 4.0]], [[1, 2, 3]], seed=0, repeated=[[1.0, 3.0], [2.0, 2.0, 5.0], [4.0]])
    assert found.retest_spread == pytest.approx((2**0.5 + 3**0.5) / 2)
    assert judge_health([[4.0]], [[1]], seed=0, repeated=[[4.0]]).retest_spread is None


def test_histogram_halves_go_up() -> None:
    assert histogram([0.0, 0.49, 0.5, 1.5, 2.5, 3.49, 4.5, 5.0]) == (2, 1, 1, 2, 0, 2)
    for wrong in (-0.1, 5.1):
        with pytest.raises(ValueError, match="outside 0-5"):
            histogram([wrong])


def test_the_top_and_the_histogram_follow_the_scale() -> None:
    scores: list[list[float | None]] = [[3.0, 3.0], [2.9, 3.0], [3.0, 1.0]]
    found = judge_health(scores, [[1, 2]] * 3, seed=0, scale=(1, 3))
    assert found.histogram == (1, 0, 5)
    assert found.top_share == pytest.approx(5 / 6)
    assert found.as_dict()["scale"] == [1, 3]
    assert [near_top(scale) for scale in ((0, 5), (1, 3), (0, 1), (0, 100))] == pytest.approx([4.5, 2.8, 0.9, 99.5])
    with pytest.raises(ValueError, match=r"score 0\.9 outside 1-3"):
        judge_health([[0.9]], [[1]], seed=0, scale=(1, 3))


@given(st.lists(st.floats(0, 5)))
def test_histogram_loses_nothing(scores: list[float]) -> None:
    assert sum(histogram(scores)) == len(scores)
