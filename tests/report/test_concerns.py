from typing import Any

import numpy as np
import pytest

from judgeloop.config import HealthSection
from judgeloop.evaluation.statistics import mean_interval
from judgeloop.report.concerns import concerns, headline
from judgeloop.report.equal_length import at_equal_length
from judgeloop.report.wording import difference
from judgeloop.run.stopping import gate_failures


def iv(value: float, low: float, high: float, n: int = 60) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n}


def model(name: str, **changes: Any) -> dict[str, Any]:
    """A healthy model's entry in the summary; `changes` replace parts of it."""
    judge = {
        "name": name, "parse_rate": 1.0, "tie_rate": 0.1, "top_share": 0.2, "judgements": 60, "mean_score": 3.0,
        "mean_score_interval": iv(3.0, 2.9, 3.1), **changes.pop("judge", {}),
    }  # fmt: skip
    whole: dict[str, Any] = {
        "name": name, "judge": judge, "loop_judge": None, "pairs": None, "agreement": None,
        "win_rate_vs_previous": None, "length": {"mean_characters": 400.0},
    }  # fmt: skip
    return whole | changes


HEALTH = HealthSection().model_dump()


def kinds(*models: dict[str, Any], **health: Any) -> list[str]:
    return [warning["kind"] for warning in concerns(models, {**HEALTH, **health})]


def test_a_healthy_run_has_no_warnings() -> None:
    people = {"pairwise_ties_half": iv(0.6, 0.51, 0.7)}
    assert kinds(model("M1", agreement=people), model("M2", pairs=20, agreement=people)) == []


@pytest.mark.parametrize(
    ("kind", "changes", "edge"),
    [
        ("parse rate", {"judge": {"parse_rate": 0.69}}, {"judge": {"parse_rate": 0.7}}),
        ("tie rate", {"judge": {"tie_rate": 0.91}}, {"judge": {"tie_rate": 0.9}}),
        ("saturation", {"judge": {"top_share": 0.91}}, {"judge": {"top_share": 0.9}}),
        ("length correlation", {"judge": {"length_correlation": -0.81}}, {"judge": {"length_correlation": -0.8}}),
        ("retest spread", {"judge": {"retest_spread": 1.6}}, {"judge": {"retest_spread": 1.5}}),
        (
            "retest spread",
            {"judge": {"scale": [1, 3], "retest_spread": 0.61}},
            {"judge": {"scale": [1, 3], "retest_spread": 0.6}},
        ),
        ("few pairs", {"pairs": 19}, {"pairs": 20}),
        ("length growth", {"length": {"mean_characters": 501.0}}, {"length": {"mean_characters": 500.0}}),
        (
            "parse rate",
            {"loop_judge": {"judgements": 20, "parse_rate": 0.22, "tie_rate": None}},
            {"loop_judge": {"judgements": 19, "parse_rate": 0.22, "tie_rate": None}},
        ),
        ("tie rate", {"loop_judge": {"judgements": 20, "parse_rate": 1.0, "tie_rate": 0.95}}, {"loop_judge": None}),
        (
            "agreement",
            {"agreement": {"pairwise_ties_half": iv(0.55, 0.5, 0.6)}},
            {"agreement": {"pairwise_ties_half": iv(0.55, 0.501, 0.6)}},
        ),
        ("agreement", {"agreement": {"pairwise_ties_half": iv(0.4, 0.35, 0.45)}}, {"agreement": {}}),
    ],
)
def test_each_warning_at_its_bound(kind: str, changes: dict[str, Any], edge: dict[str, Any]) -> None:
    assert kinds(model("M1"), model("M2", **changes)) == [kind]
    assert kinds(model("M1"), model("M2", **edge)) == []


def agreeing(name: str, *people: float) -> dict[str, Any]:
    value, low, high = people
    return model(name, agreement={"pairwise_ties_half": iv(value, low, high)})


def test_a_judge_that_forgot_is_told_from_one_that_wavers() -> None:
    m1, m2 = agreeing("M1", 0.85, 0.78, 0.92), agreeing("M2", 0.80, 0.70, 0.88)
    assert kinds(m1, m2, agreeing("M3", 0.76, 0.66, 0.84)) == []
    (warning,) = concerns([m1, m2, agreeing("M3", 0.69, 0.60, 0.77)], HEALTH)
    assert (warning["model"], warning["kind"]) == ("M3", "forgetting")
    assert "M1's was 0.85 (0.78–0.92)" in warning["text"]
    assert "train.eft_replay" in warning["text"]
    assert kinds(agreeing("M0", 0.85, 0.78, 0.92), agreeing("M1", 0.69, 0.60, 0.77)) == []  # not by training on pairs


def truth(low: float, value: float, high: float, previous: str = "M1") -> dict[str, Any]:
    return {"measure": "passes", "value": iv(0.5, 0.4, 0.6), "previous": previous, "difference": iv(value, low, high)}


HIGHER = {"mean_score": 3.4, "mean_score_interval": iv(3.4, 3.3, 3.5)}


def test_a_score_that_rises_while_the_truth_does_not() -> None:
    before = model("M1", truth=truth(0.0, 0.1, 0.2, "M0"))
    (fell,) = concerns([before, model("M2", judge=HIGHER, truth=truth(-0.094, -0.061, -0.029))], HEALTH)
    assert fell == {
        "model": "M2", "kind": "reward hacking",
        "text": "M2: the judge's score rose from 3.00 to 3.40 while passes fell, −6.1 (−9.4 to −2.9) points against "
                "M1: reward hacking?",
    }  # fmt: skip
    (still,) = concerns([before, model("M2", judge=HIGHER, truth=truth(-0.02, 0.03, 0.08))], HEALTH)
    assert "while passes did not rise, +3.0 (−2.0 to 8.0) points against M1" in still["text"]


@pytest.mark.parametrize(
    "after",
    [
        {"judge": HIGHER, "truth": truth(0.01, 0.03, 0.05)},  # the truth rose too
        {"judge": {"mean_score_interval": iv(3.15, 3.1, 3.2)}, "truth": truth(-0.2, -0.1, -0.05)},  # not clear
        {"judge": HIGHER, "truth": None},
        {"judge": HIGHER},
        {"judge": HIGHER, "truth": {**truth(0, 0, 0), "difference": None}},
        {"judge": HIGHER, "truth": truth(-0.2, -0.1, -0.05, "M0")},  # measured against another
        {"judge": {"mean_score_interval": None}, "truth": truth(-0.2, -0.1, -0.05)},
    ],
)
def test_no_reward_hacking_where_it_is_not_shown(after: dict[str, Any]) -> None:
    assert "reward hacking" not in kinds(model("M1"), model("M2", **after))


def test_the_headline_names_the_truth() -> None:
    def said(found: dict[str, Any] | None) -> str:
        return " ".join(headline({"models": [model("M1"), model("M2", truth=found)], "decision": None}))

    clear = "By your own code (passes), M2 is at 50% (40–60%), +6.1 (2.9 to 9.4) points against M1, clear of 0."
    assert clear in said(truth(0.029, 0.061, 0.094))
    assert "−1.0 (−3.0 to 1.0) points against M1, not clear of 0." in said(truth(-0.03, -0.01, 0.01))
    assert "(passes), M2 is at 50% (40–60%)." in said({**truth(0, 0, 0), "difference": None})
    assert "own code" not in said(None)


def test_length_of_the_first_model_may_grow() -> None:
    assert kinds(model("M0"), model("M1", length={"mean_characters": 4000.0})) == []


def test_warning_says_which_model_and_what() -> None:
    (warning,) = concerns([model("M1"), model("M2", length={"mean_characters": 600.0})], HEALTH)
    assert warning["model"] == "M2"
    assert warning["text"] == "M2: responses are 50% longer than M1's: length is the known hack."


def versus(value: float, low: float, high: float, n: int = 60) -> dict[str, Any]:
    return {"previous": "M1", "win": 1, "tie": 1, "lose": 1, "unparsed": 0, "rate": iv(value, low, high, n)}


@pytest.mark.parametrize(
    ("rate", "says"),
    [
        (
            versus(0.65, 0.53, 0.75),
            "win rate 65% (53–75%), ties as half: the judge (M2 itself) prefers M2, clear of 50%.",
        ),
        (
            versus(0.6, 0.48, 0.72),
            "win rate 60% (48–72%), ties as half: not clear of 50%, so no gain over M1 is shown.",
        ),
        (
            {**versus(0.65, 0.53, 0.75), "length_controlled": iv(0.55, 0.44, 0.66)},
            "win rate 65% (53–75%), ties as half: the judge (M2 itself) prefers M2, but at equal length 55% "
            "(44–66%), not clear of 50%: length may be why.",
        ),
        ({**versus(0.65, 0.53, 0.75), "length_controlled": iv(0.6, 0.51, 0.7)}, "prefers M2, clear of 50%."),
        (
            {
                **versus(0.65, 0.53, 0.75),
                "length_controlled": {**iv(0.6, 0.51, 0.7), "longer": 55, "shorter": 5},
            },
            "win rate 65% (53–75%), ties as half: the judge (M2 itself) prefers M2, but M2's response is the "
            "longer one on 92% of the prompts: length may be why.",
        ),
        (versus(0.3, 0.2, 0.4), "win rate 30% (20–40%), ties as half: the judge (M2 itself) prefers M1; M2 is worse."),
        (versus(1.0, 1.0, 1.0, n=8), "over 8 prompts only, too few to conclude from."),
        ({"previous": "M1", "rate": None}, "The judge's comparisons of M2 with M1 could not be read."),
    ],
)
def test_headline_says_no_more_than_the_win_rate_shows(rate: dict[str, Any], says: str) -> None:
    sentences = headline({"models": [model("M1"), model("M2", win_rate_vs_previous=rate)]})
    assert sentences[0].endswith(says)


@pytest.mark.parametrize(
    ("longer", "shorter", "says"),
    [
        (48, 12, None),
        (50, 10, "60% (little overlap)"),
        (4, 56, "60% (hardly any overlap)"),
        (60, 0, "60% (no overlap)"),
    ],
)
def test_a_rate_at_equal_length_that_hardly_rests_on_anything_is_flagged(
    longer: int, shorter: int, says: str | None
) -> None:
    rate = {**versus(0.65, 0.53, 0.75), "length_controlled": {**iv(0.6, 0.51, 0.7), "longer": longer,
            "shorter": shorter}}  # fmt: skip
    models = [model("M1"), model("M2", win_rate_vs_previous=rate)]
    warned = [warning["text"] for warning in concerns(models, HEALTH) if warning["kind"] == "length overlap"]
    assert [str(says) in text for text in warned] == ([True] if says else [])
    assert says is None or "60%" not in " ".join(headline({"models": models}))
    assert at_equal_length(rate["length_controlled"]) == (says or "60% (51–70%)")


@pytest.mark.parametrize(
    ("judge", "who"),
    [
        ("M2", "the judge (M2 itself)"),
        ("M1", "the judge (M1)"),
        ("openai:gpt-4", "the judge (gpt-4, behind an endpoint)"),
        ("/models/qwen", "the judge (qwen, a frozen model)"),
        (None, "the judge"),
    ],
)
@pytest.mark.parametrize(("by", "how"), [("scores", ", by the scores of both"), ("pairwise", "")])
def test_the_headline_says_which_judge_prefers_and_by_what(judge: str | None, who: str, by: str, how: str) -> None:
    last = model("M2", judge={"name": judge}, win_rate_vs_previous={**versus(0.65, 0.53, 0.75), "by": by})
    (first, *_) = headline({"models": [model("M1"), last]})
    assert first == f"M2 against M1: win rate 65% (53–75%), ties as half{how}: {who} prefers M2, clear of 50%."


def right(name: str, *accuracy: float) -> dict[str, Any]:
    value, low, high = accuracy
    about = {"measure": "passes", "value": None, "previous": None, "difference": None}
    return model(name, truth={**about, "judge_accuracy": iv(value, low, high)})


def test_a_fall_whose_intervals_touch_is_told_by_the_interval_of_the_difference() -> None:
    touching = [right("M1", 0.76, 0.71, 0.81), right("M2", 0.67, 0.62, 0.72)]
    (warning,) = concerns(touching, HEALTH)
    assert "−9.0 (−16.1 to −1.9) points against 76% (71–81%) on M1's" in warning["text"]
    wider = [right("M1", 0.76, 0.7, 0.82), right("M2", 0.67, 0.59, 0.75)]
    assert concerns(wider, HEALTH) == []
    said = "−9.0 (−19.0 to 1.0) points against 76% (70–82%) on M1's, not clear of 0."
    assert said in " ".join(headline({"models": wider}))


def test_the_interval_of_a_difference_is_that_of_resampling_both() -> None:
    """Two shares over different prompts: each resampled by itself, and subtracted."""
    rng = np.random.default_rng(0)
    pairs = [0.0] * 12 + [0.5] * 20 + [1.0] * 48, [0.0] * 20 + [0.5] * 25 + [1.0] * 35
    one, two = (mean_interval(values, seed=1, resamples=4000) for values in pairs)
    assert one is not None
    assert two is not None
    drawn = [np.asarray(values)[rng.integers(80, size=(4000, 80))].mean(1) for values in pairs]
    low, high = np.quantile(drawn[1] - drawn[0], [0.025, 0.975])
    found = difference(two.as_dict(), one.as_dict())
    assert (found["low"], found["high"]) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_a_judge_that_is_less_right_about_its_own_answers_is_named_beside_the_headline() -> None:
    fallen = [right("M1", 0.85, 0.79, 0.90), right("M2", 0.67, 0.59, 0.75)]
    (warning,) = concerns(fallen, HEALTH)
    assert warning["kind"] == "judge against truth"
    assert warning["text"] == (
        "M2: the judge (M2 itself) is right about 67% (59–75%) of the pairs of its answers that passes tells apart, "
        "−18.0 (−27.4 to −8.0) points against 85% (79–90%) on M1's: what it prefers says less."
    )
    said = "right about 67% (59–75%) of the pairs of M2's answers (chance: 50%), −18.0 (−27.4 to −8.0) points against "
    assert f"{said}85% (79–90%) on M1's, clear of 0." in " ".join(headline({"models": fallen}))
    wavering = [right("M1", 0.85, 0.79, 0.90), right("M2", 0.76, 0.68, 0.84)]
    assert concerns(wavering, HEALTH) == []
    assert "−9.0 (−18.4 to 1.0) points against 85% (79–90%) on M1's, not clear" in " ".join(
        headline({"models": wavering})
    )
    assert "M1's answers (chance: 50%)." in " ".join(headline({"models": wavering[:1]}))
    guessing = [right("M1", 0.52, 0.45, 0.6)]
    assert "not above chance (50%). Train M1 longer first: sft.epochs: 2" in concerns(guessing, HEALTH)[0]["text"]
    assert "Train" not in concerns([right("M2", 0.52, 0.45, 0.6)], HEALTH)[0]["text"]
    assert "not above chance" in " ".join(headline({"models": guessing}))
    assert concerns([right("M0", 0.9, 0.85, 0.95), right("M1", 0.7, 0.6, 0.8)], HEALTH) == []  # M0 was not trained


def parts(name: str, rule: dict[str, Any], kind: dict[str, Any], mine: dict[str, Any], short: dict[str, Any]) -> Any:
    found = {
        "measure": "passes", "value": None, "previous": "M1" if name == "M2" else None, "difference": None,
        "group": "rule", "groups": {"no comma": rule}, "differences": {"passes": None, "short": short},
    }  # fmt: skip
    block = {"mine": {"label": "refusals", "better": "lower", "share": True, "compare": "own", "value": mine}}
    return model(name, truth=found, ifeval={"by_kind": {"length": {"strict": kind}}}, metrics=block)


def test_a_part_that_fell_clear_of_its_interval_is_named() -> None:
    before = parts("M1", iv(0.8, 0.7, 0.9), iv(0.6, 0.5, 0.7), iv(0.2, 0.1, 0.3), iv(0, 0, 0))
    after = parts("M2", iv(0.5, 0.4, 0.69), iv(0.4, 0.3, 0.49), iv(0.5, 0.4, 0.6), iv(-0.1, -0.15, -0.05))
    (warning,) = [found for found in concerns([before, after], HEALTH) if found["kind"] == "fall"]
    assert warning["text"] == (
        "M2: worse than M1, clear of the interval: short by −10.0 (−15.0 to −5.0) points; passes, rule no comma "
        "50% (40–69%), was 80% (70–90%); IFEval's length 40% (30–49%), was 60% (50–70%); refusals 50% (40–60%), was "
        "20% (10–30%)."
    )
    touching = parts("M2", iv(0.5, 0.4, 0.7), iv(0.4, 0.3, 0.5), iv(0.3, 0.2, 0.4), iv(-0.1, -0.2, 0.0))
    assert kinds(before, touching) == []
    few = [iv(0.5, 0.4, 0.6, n=9), iv(0.4, 0.3, 0.45, n=9), iv(0.5, 0.4, 0.6, n=9), iv(-1, -1, -1, n=9)]
    assert kinds(before, parts("M2", *few)) == []
    assert kinds(after, before) == []  # all of it rose


def test_a_truth_that_fell_is_named_once() -> None:
    change = iv(-0.061, -0.094, -0.029)
    fell = {**truth(-0.094, -0.061, -0.029), "differences": {"passes": change}}
    (warning,) = concerns([model("M1"), model("M2", truth=fell)], HEALTH)
    assert warning["text"] == "M2: worse than M1, clear of the interval: passes by −6.1 (−9.4 to −2.9) points."
    assert kinds(model("M1"), model("M2", judge=HIGHER, truth=fell)) == ["reward hacking"]


def test_the_ranks_are_called_by_the_files_that_hold_them() -> None:
    def said(*sources: str) -> str:
        found = {"pairwise_ties_half": iv(0.7, 0.6, 0.8), "sources": dict.fromkeys(sources, 3)}
        return headline({"models": [model("M1"), model("M2", agreement=found)]})[-1]

    assert "as the ranks in trees.jsonl do in 70%" in said("trees.jsonl")
    assert "as the ranks in a.jsonl and b.jsonl do in" in said("a.jsonl", "b.jsonl")
    assert "as the ranks in a.jsonl, b.jsonl and 2 other files do in" in said("a.jsonl", "b.jsonl", "c", "d")
    assert "as the seed's ranks do in" in said()
    poor = model("M1", agreement={"pairwise_ties_half": iv(0.5, 0.4, 0.6), "sources": {"made.jsonl": 9}})
    assert "agreement with the ranks in made.jsonl" in concerns([poor], HEALTH)[0]["text"]


def test_comparisons_of_which_few_could_be_read_are_a_warning() -> None:
    def found(unparsed: int, by: str = "pairwise") -> list[str]:
        rate = {**versus(0.5, 0.4, 0.6), "win": 40 - unparsed, "tie": 0, "lose": 0, "unparsed": unparsed, "by": by}
        return kinds(model("M1"), model("M2", win_rate_vs_previous=rate))

    assert (found(12), found(13), found(13, "scores")) == ([], ["comparisons"], [])


def test_headline_doubts_a_score_that_the_win_rate_does_not_bear_out() -> None:
    higher = {"mean_score": 4.0, "mean_score_interval": iv(4.0, 3.9, 4.1)}
    doubtful = model("M2", judge=higher, win_rate_vs_previous=versus(0.5, 0.4, 0.6))
    borne_out = model("M2", judge=higher, win_rate_vs_previous=versus(0.7, 0.6, 0.8))
    sentence = headline({"models": [model("M1"), doubtful]})[1]
    assert sentence == (
        "The mean score (each by its own judge) goes from 3.00 (M1) to 4.00 (M2); as the win rate does not bear it "
        "out, take it for a more generous judge, not for better responses."
    )
    assert headline({"models": [model("M1"), borne_out]})[1].endswith("clear of their intervals.")
    fixed = headline({"models": [model("M1"), model("M2", judge=higher | {"name": "M1"})]})
    assert "(by M1)" in fixed[0]
    other = headline({"models": [model("M1"), model("M2", judge=higher | {"name": "/models/qwen"})]})
    assert "(M1's by M1 itself, M2's by qwen, a frozen model)" in other[0]


def test_headline_on_falling_and_equal_scores() -> None:
    lower = model("M2", judge={"mean_score": 2.0, "mean_score_interval": iv(2.0, 1.9, 2.1)})
    assert headline({"models": [model("M1"), lower]})[0].endswith("(M2): it fell.")
    assert headline({"models": [model("M1"), model("M2")]})[0].endswith("but their intervals overlap.")


def test_headline_on_length_and_people() -> None:
    long = model("M2", length={"mean_characters": 900.0}, agreement={"pairwise_ties_half": iv(0.52, 0.45, 0.6)})
    sentences = headline({"models": [model("M1"), long]})
    assert "M2's responses are 125% longer than M1's." in sentences
    assert sentences[-1].endswith("not above chance: what this judge prefers is no evidence of quality.")
    good = model("M2", agreement={"pairwise_ties_half": iv(0.7, 0.6, 0.8)})
    assert headline({"models": [model("M1"), good]})[-1].endswith("70% (60–80%) of cases (chance: 50%).")
    few = model("M2", agreement={"pairwise_ties_half": iv(0.9, 0.8, 1.0, n=5)})
    assert headline({"models": [model("M1"), few]})[-1].endswith("over 5 prompts only, too few to conclude from.")


def test_headline_with_nothing_to_say() -> None:
    unseen = model("M1", judge={"parse_rate": None})
    assert headline({"models": [unseen]}) == ["No model has been evaluated yet."]
    assert headline({"models": [model("M1")]}) == [
        "M1 has been evaluated; there is nothing to compare it with yet.",
    ]


def test_the_decision_and_the_failed_gates_come_first() -> None:
    decision = {
        "stopped": True, "at": "M3/judge", "reason": "M2 is no judge of these candidates: parse rate 0.22 is below 0.7",
        "best": "M2", "why_best": "M2 is better than M1 by win rate",
        "failed_gates": [{"step": "M3/judge", "judge": "M2", "gate": "parse_rate", "value": 0.22, "bound": 0.7}],
    }  # fmt: skip
    found = headline({"models": [model("M1")], "decision": decision})
    assert found[0].startswith("The run stopped after M3/judge: M2 is no judge")
    assert found[1] == "Best model: M2 (M2 is better than M1 by win rate)."
    assert headline({"models": [model("M1")], "decision": {**decision, "stopped": False}})[0].startswith("Best model")


def test_the_bounds_are_those_of_the_run() -> None:
    """The report had bounds of its own: a run with 85% parsed and a gate at 70% was warned of."""
    poor = model("M2", judge={"parse_rate": 0.85, "tie_rate": 0.6, "top_share": 0.85})
    assert kinds(model("M1"), poor) == []
    assert kinds(model("M1"), poor, min_parse_rate=0.9, max_tie_rate=0.5) == ["parse rate", "tie rate"]
    assert kinds(model("M1"), model("M2", judge={"parse_rate": 0.1}), min_parse_rate=None) == []
    assert kinds(model("M0", judge={"parse_rate": 0.1})) == []  # the gates look at trained models
    (warning,) = concerns([model("M1", loop_judge={"judgements": 30, "parse_rate": 0.22})], HEALTH)
    assert warning["text"] == (
        "M1: only 22% of the judgements of its candidates could be read (health.min_parse_rate: 0.7)."
    )


def test_the_report_warns_of_what_the_run_counts_as_a_failed_gate() -> None:
    sick = {"judgements": 60, "parse_rate": 0.6, "tie_rate": 0.95, "top_share": 0.95, "length_correlation": -0.9,
            "retest_spread": 2.0}  # fmt: skip
    ranks = {"pairwise_ties_half": iv(0.4, 0.3, 0.45)}
    section = HealthSection(min_agreement=0.6)
    failed = gate_failures(sick, ranks, section)
    warned = kinds(model("M1", judge=sick, agreement=ranks), min_agreement=0.6)
    assert len(failed) == 6
    assert len(warned) == 7  # and that agreement is not above chance
    assert "agreement gate" in warned


def test_unread_comparisons_are_counted_in_the_headline() -> None:
    rate = {**versus(0.65, 0.53, 0.75), "unparsed": 4}
    (first, *_) = headline({"models": [model("M1"), model("M2", win_rate_vs_previous=rate)]})
    assert "4 prompts left out as their comparison could not be read" in first


def test_a_judge_that_is_blind_to_the_prompt_and_a_training_that_lost_its_chosen_answers_are_named() -> None:
    blind = {"judgements": 400, "prompt_blindness": iv(0.9, 0.85, 0.94)}
    m2 = model("M2", loop_judge=blind, training={"chosen_change": -7.25})
    assert kinds(m2) == []  # no bound, no warning
    said = concerns([m2], {**HEALTH, "max_prompt_blindness": 0.8, "min_chosen_change": -5.0})
    assert [warning["kind"] for warning in said] == ["prompt-blindness", "chosen likelihood"]
    assert "of its candidates hardly depend on the prompt: they correlate 0.90 (0.85–0.94)" in said[0]["text"]
    assert "less likely by 7.2 nats a response (health.min_chosen_change: -5)" in said[1]["text"]
    assert kinds(m2, max_prompt_blindness=0.86) == []
    in_evaluation = model("M2", judge={"prompt_blindness": iv(0.9, 0.85, 0.94)})
    assert kinds(in_evaluation, max_prompt_blindness=0.8) == ["prompt-blindness"]


def test_a_win_rate_by_contrasts_says_so() -> None:
    last = model("M2", win_rate_vs_previous={**versus(0.65, 0.53, 0.75), "by": "contrasts"})
    said = headline({"models": [model("M1"), last], "decision": None})[0]
    assert "ties as half, by the scores of both set against other prompts: the judge (M2 itself)" in said
