import json

import pytest

from judgeloop.evaluation.measures import Duel, measures
from judgeloop.evaluation.metrics import EvaluatedPrompt
from judgeloop.evaluation.win_rates import Preferred

ANSWERED = [
    EvaluatedPrompt(characters=[10, 20], tokens=[2, 4], truncated=[False, True], scores=[3.0, None]),
    EvaluatedPrompt(characters=[30, 40], tokens=[6, 8], truncated=[False, False], scores=[4.0, 4.0]),
]


def test_without_ranks_and_previous_model() -> None:
    found = measures(ANSWERED, seed=0)
    assert found["prompts"] == 2
    assert found["agreement"] is None
    assert found["win_rate_vs_previous"] is None
    assert found["length"] == {"mean_characters": 25.0, "mean_tokens": 5.0, "truncated_share": 0.25}
    assert found["judge_health"]["parse_rate"] == 0.75
    assert found["judge_health"]["mean_score"]["value"] == 3.5


def test_whole_record_is_json() -> None:
    duel = Duel("M1", [("first", "second"), ("first", "first")], scores=[3.0, 2.0], previous_scores=[1.0, None])
    found = json.loads(json.dumps(measures(ANSWERED, seed=0, ranked=[([4.0, 2.0], [0, 1])], duel=duel)))
    assert found["agreement"]["kendall"]["value"] == pytest.approx(1.0)
    assert found["agreement"]["five_best"] is None
    versus = found["win_rate_vs_previous"]
    assert (versus["previous"], versus["win"], versus["tie"], versus["rate"]["value"]) == ("M1", 1, 1, 0.75)
    assert (versus["by_score"]["win"], versus["by_score"]["unparsed"]) == (1, 1)


def test_perfect_is_what_the_caller_says() -> None:
    found = measures(ANSWERED, seed=0, ranked=[([4.6, 2.0], [0, 1])], perfect=4.5)
    assert found["agreement"]["five_best"]["value"] == 1.0


def test_duel_without_scores() -> None:
    found = measures(ANSWERED, seed=0, duel=Duel("M0", [(None, "first")]))
    assert found["win_rate_vs_previous"] == {
        "previous": "M0",
        "by": "pairwise",
        "win": 0,
        "tie": 0,
        "lose": 0,
        "unparsed": 1,
        "rate": None,
        "length_controlled": None,
        "by_score": None,
    }


def test_no_prompts_at_all() -> None:
    found = measures([], seed=0)
    assert found["length"] == {"mean_characters": None, "mean_tokens": None, "truncated_share": None}
    assert found["judge_health"]["mean_score"] is None


def test_lengths_give_the_rate_at_equal_length() -> None:
    orders: list[tuple[Preferred | None, Preferred | None]] = [("first", "second")] * 3 + [("second", "first")]
    lengths = {"characters": [300, 250, 220, 90], "previous_characters": [100, 120, 110, 180]}
    versus = measures(ANSWERED, seed=0, duel=Duel("M0", orders, **lengths))["win_rate_vs_previous"]
    assert versus["rate"]["value"] == 0.75
    assert versus["length_controlled"]["value"] < 0.75
    assert versus["length_controlled"]["n"] == 4
    assert (versus["length_controlled"]["longer"], versus["length_controlled"]["shorter"]) == (3, 1)


def test_without_comparisons_scores_decide() -> None:
    duel = Duel("M1", None, [3.0, 2.0], [1.0, 2.0], characters=[10, 10], previous_characters=[10, 10])
    versus = measures(ANSWERED, seed=0, duel=duel)["win_rate_vs_previous"]
    assert (versus["by"], versus["win"], versus["tie"], versus["lose"]) == ("scores", 1, 1, 0)
    assert versus["rate"]["value"] == versus["by_score"]["rate"]["value"] == 0.75


def test_contrasts_decide_in_the_scores_place() -> None:
    duel = Duel("M1", None, [3.0, 2.0], [1.0, 2.0], contrasts=[(-1.0, 0.5), (0.25, None)])
    versus = measures(ANSWERED, seed=0, duel=duel)["win_rate_vs_previous"]
    assert (versus["by"], versus["win"], versus["lose"], versus["unparsed"]) == ("contrasts", 0, 1, 1)
    assert versus["by_score"]["win"] == 1  # of scores, as ever
