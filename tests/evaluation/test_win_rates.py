import pytest

from judgeloop.evaluation.win_rates import (
    Outcome,
    Preferred,
    length_controlled_rate,
    outcome_of_orders,
    outcome_of_scores,
    win_rate,
)


@pytest.mark.parametrize(
    ("model_first", "model_second", "outcome"),
    [
        ("first", "second", "win"),
        ("second", "first", "lose"),
        ("first", "first", "tie"),  # always the first shown: the judge contradicts itself
        ("second", "second", "tie"),
        ("neither", "neither", "tie"),
        ("first", "neither", "tie"),  # a preference in one order only
        ("neither", "first", "tie"),
        ("neither", None, "unparsed"),
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


def test_length_controlled_rate_is_over_the_parsed_prompts() -> None:
    outcomes: list[Outcome] = ["win", "unparsed", "tie", "lose", "win"]
    found = length_controlled_rate(outcomes, [30, 9, 20, 10, 40], [20, 900, 25, 30, 10], seed=0)
    without = length_controlled_rate(["win", "tie", "lose", "win"], [30, 20, 10, 40], [20, 25, 30, 10], seed=0)
    assert found is not None
    assert found == without
    assert (found.rate.n, found.longer, found.shorter) == (4, 2, 2)
    assert length_controlled_rate(["unparsed"] * 3, [1, 2, 3], [3, 2, 1], seed=0) is None


def test_a_judge_that_follows_length_alone_shows_no_better_model() -> None:
    # The longer response wins always, and the model's is the longer one three times of four.
    lengths, against = [300, 200, 260, 90] * 10, [100, 150, 110, 140] * 10
    outcomes: list[Outcome] = ["win", "win", "win", "lose"] * 10
    raw = win_rate(outcomes, seed=0)
    found = length_controlled_rate(outcomes, lengths, against, seed=0)
    assert raw.rate is not None
    assert raw.rate.low > 0.5
    assert found is not None
    assert found.rate.low < 0.5 < found.rate.high
    assert found.length_effect > 1
