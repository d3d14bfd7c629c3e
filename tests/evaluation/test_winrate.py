import pytest

from judgeloop.evaluation.winrate import Outcome, Preferred, outcome_of_orders, outcome_of_scores, win_rate


@pytest.mark.parametrize(
    ("model_first", "model_second", "outcome"),
    [
        ("first", "second", "win"),
        ("second", "first", "lose"),
        ("first", "first", "tie"),  # always the first shown: the judge contradicts itself
        ("second", "second", "tie"),
        (None, "second", "unparsed"),
        ("first", None, "unparsed"),
        (None, None, "unparsed"),
    ],
)
def test_both_orders(model_first: Preferred | None, model_second: Preferred | None, outcome: Outcome) -> None:
    assert outcome_of_orders(model_first, model_second) == outcome


def test_pointwise_scores() -> None:
    assert outcome_of_scores(3.0, 2.0) == "win"
    assert outcome_of_scores(2.0, 3.0) == "lose"
    assert outcome_of_scores(3.0, 3.0) == "tie"
    assert outcome_of_scores(3.0, 2.75, margin=0.25) == "tie"
    assert outcome_of_scores(3.0, None) == "unparsed"
    assert outcome_of_scores(None, 1.0) == "unparsed"


def test_rate_by_hand() -> None:
    # 3 wins, 2 ties, 1 loss: (3 + 1) / 6; the unparsed prompt counts apart.
    found = win_rate(["win", "win", "win", "tie", "tie", "lose", "unparsed"], seed=0)
    assert (found.win, found.tie, found.lose, found.unparsed) == (3, 2, 1, 1)
    assert found.rate is not None
    assert found.rate.value == pytest.approx(4 / 6)
    assert found.rate.n == 6
    assert found.rate.low < 4 / 6 < found.rate.high


def test_nothing_parsed_is_no_rate() -> None:
    assert win_rate(["unparsed"] * 3, seed=0).as_dict() == {
        "win": 0,
        "tie": 0,
        "lose": 0,
        "unparsed": 3,
        "rate": None,
    }
