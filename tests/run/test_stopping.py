from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import Config, HealthSection, parse
from judgeloop.errors import InputError
from judgeloop.evaluation.metrics import Measured, metric_block
from judgeloop.evaluation.win_rates import win_rate
from judgeloop.loop import method
from judgeloop.run.directory import RunDirectory, read_json, write_json
from judgeloop.run.stopping import best_of, compare, conclude, decide, failed_gates, gate_failures, record, with_best

HEALTHY: dict[str, Any] = {
    "parse_rate": 0.99,
    "tie_rate": 0.1,
    "top_share": 0.2,
    "length_correlation": 0.3,
    "retest_spread": 0.4,
    "judgements": 400,
}


def interval(low: float, value: float, high: float, n: int = 60) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n}


BETTER, EVEN, WORSE = interval(0.52, 0.6, 0.68), interval(0.4, 0.5, 0.6), interval(0.3, 0.4, 0.48)


def evaluation(model: str, rate: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    duel = None if rate is None else {"previous": f"M{int(model[1:]) - 1}", "rate": rate, "by_score": {"rate": rate}}
    found = {"model": model, "judge": model, "judge_health": HEALTHY, "win_rate_vs_previous": duel, **parts}
    return {**found, "metrics": metric_block("eval", Measured(found))}


def run_with(tmp_path: Path, evaluations: dict[str, dict[str, Any]], **tree: Any) -> RunDirectory:
    """A run directory in which the named models were evaluated."""
    config: Config = parse({"seed_data": {"ift": "x.jsonl"}, "iterations": 3, **tree}, "test")
    run = RunDirectory(tmp_path, config, method(config))
    for name, found in evaluations.items():
        (tmp_path / name).mkdir(exist_ok=True)
        write_json(tmp_path / name / "eval.json", found)
        write_json(tmp_path / name / ".eval.done.json", {})
    return run


def judged(tmp_path: Path, model: str, **health: Any) -> None:
    (tmp_path / model).mkdir(exist_ok=True)
    write_json(tmp_path / model / "judge.json", {"judge": "M1", "health": {**HEALTHY, **health}})
    write_json(tmp_path / model / ".judge.done.json", {})
    (tmp_path / model / "judgements.jsonl").touch()


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"parse_rate": 0.22}, "parse_rate"),  # the known collapse: 78% unparseable at M2
        ({"tie_rate": 0.95}, "tie_rate"),
        ({"top_share": 0.97}, "top_share"),
        ({"length_correlation": 0.9}, "length_correlation"),
        ({"length_correlation": -0.9}, "length_correlation"),
        ({"retest_spread": 1.8}, "retest_spread"),
    ],
)
def test_the_default_gates_catch_a_judge_that_is_none(change: dict[str, float], gate: str) -> None:
    (failure,) = gate_failures({**HEALTHY, **change}, None, HealthSection())
    assert failure.gate == gate
    assert failure.value == abs(next(iter(change.values())))
    assert failure.stops == (gate in ("parse_rate", "tie_rate", "top_share"))


@pytest.mark.parametrize(("scale", "bound"), [([0, 5], 1.5), ([1, 3], 0.6), ([1, 5], 1.2), ([0, 1], 0.3)])
def test_the_bound_of_a_spread_of_scores_follows_the_scale(scale: list[int], bound: float) -> None:
    (failure,) = gate_failures({**HEALTHY, "scale": scale, "retest_spread": bound + 0.01}, None, HealthSection())
    assert (failure.gate, failure.bound) == ("retest_spread", pytest.approx(bound))
    assert gate_failures({**HEALTHY, "scale": scale, "retest_spread": bound - 0.01}, None, HealthSection()) == []


def test_a_healthy_judge_an_unknown_value_and_a_switched_off_gate_fail_nothing() -> None:
    assert gate_failures(HEALTHY, None, HealthSection()) == []
    assert gate_failures({"judgements": 400, "parse_rate": None, "tie_rate": None}, None, HealthSection()) == []
    assert gate_failures({**HEALTHY, "parse_rate": 0.0}, None, HealthSection(min_parse_rate=None)) == []
    assert gate_failures({**HEALTHY, "parse_rate": 0.0, "judgements": 19}, None, HealthSection()) == []
    assert gate_failures({**HEALTHY, "parse_rate": 0.0, "judgements": 20}, None, HealthSection()) != []


def test_agreement_fails_only_where_the_whole_interval_lies_below() -> None:
    section = HealthSection(min_agreement=0.6)
    assert gate_failures(HEALTHY, {"pairwise_ties_half": interval(0.4, 0.5, 0.61)}, section) == []
    (failure,) = gate_failures(HEALTHY, {"pairwise_ties_half": interval(0.4, 0.5, 0.59)}, section)
    assert failure.sentence() == "agreement 0.50 is below 0.6"
    assert gate_failures(HEALTHY, {"pairwise_ties_half": interval(0.4, 0.5, 0.59, n=5)}, section) == []
    assert gate_failures(HEALTHY, None, section) == []


def test_prompt_blindness_fails_only_where_the_whole_interval_lies_above() -> None:
    section = HealthSection(max_prompt_blindness=0.8, stop_on=("prompt_blindness",))
    assert gate_failures({**HEALTHY, "prompt_blindness": interval(0.79, 0.9, 0.95)}, None, section) == []
    (failure,) = gate_failures({**HEALTHY, "prompt_blindness": interval(0.81, 0.9, 0.95)}, None, section)
    assert failure.sentence() == "prompt blindness 0.90 is above 0.8"
    assert failure.stops
    assert gate_failures({**HEALTHY, "prompt_blindness": interval(0.81, 0.9, 0.95, n=5)}, None, section) == []
    assert gate_failures({**HEALTHY, "prompt_blindness": None}, None, section) == []


@pytest.mark.parametrize(("change", "stop_on", "stops"), [(-6.0, ["chosen_change"], True), (-6.0, [], False),
                                                          (-4.9, ["chosen_change"], False),
                                                          (None, ["chosen_change"], False)])  # fmt: skip
def test_chosen_answers_that_became_unlikely_end_the_run_or_warn(
    tmp_path: Path, change: float | None, stop_on: list[str], stops: bool
) -> None:
    run = run_with(tmp_path, {"M1": evaluation("M1")}, health={"min_chosen_change": -5, "stop_on": stop_on})
    (tmp_path / "M2" / "model").mkdir(parents=True)
    write_json(tmp_path / "M2" / "train.json", {"hash": "h", **({} if change is None else {"chosen_change": change})})
    write_json(tmp_path / "M2" / ".train.done.json", {})
    decision = decide(run, run.steps["M2/train"])
    assert (decision is not None) == stops
    if decision is not None:
        assert decision.reason == "M2 lost its chosen answers: chosen change -6.00 is below -5"
        assert decision.best == "M1"
    failed = [found["gate"] for found in failed_gates(run)]
    assert failed == (["chosen_change"] if change == -6.0 else [])


def test_comparing_needs_a_clear_interval() -> None:
    assert compare(evaluation("M2", BETTER), None, "win_rate") == "better"
    assert compare(evaluation("M2", EVEN), None, "win_rate") == "even"
    assert compare(evaluation("M2", WORSE), None, "score") == "worse"
    assert compare(evaluation("M2"), None, "win_rate") is None
    first = evaluation("M1", agreement={"pairwise_ties_half": interval(0.5, 0.55, 0.6)})
    above = evaluation("M2", agreement={"pairwise_ties_half": interval(0.61, 0.7, 0.8)})
    across = evaluation("M2", agreement={"pairwise_ties_half": interval(0.59, 0.7, 0.8)})
    assert compare(above, first, "agreement") == "better"
    assert compare(first, above, "agreement") == "worse"
    assert compare(across, first, "agreement") == "even"
    assert compare(above, None, "agreement") is None


def own_metric(better: str, compare_by: str, **found: Any) -> dict[str, Any]:
    """An eval.json with a user's metric that the code of the package knows nothing of."""
    return {"model": "M2", "metrics": {"mine": {"label": "mine", "better": better, "compare": compare_by, **found}}}


def test_a_metric_whose_lower_values_are_better() -> None:
    less = {"model": "M1", "value": interval(-0.3, -0.2, -0.1), "even": 0.0}
    paired = {"value": interval(0.1, 0.2, 0.3), "versus": less}
    assert compare(own_metric("lower", "paired", **paired), None, "mine") == "better"
    assert compare(own_metric("higher", "paired", **paired), None, "mine") == "worse"
    low, high = ({"value": interval(v, v + 0.1, v + 0.2), "versus": None} for v in (0.1, 0.5))
    now, before = own_metric("lower", "own", **high), own_metric("lower", "own", **low)
    assert compare(now, before, "mine") == "worse"
    assert compare(before, now, "mine") == "better"
    assert compare(now, None, "mine") is None
    assert compare(now, before, "elsewhere") is None


def test_a_target_is_reached_from_the_side_that_is_better(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"M1": evaluation("M1")}, stop={"metric": "score", "target": 0.3})
    for better, reached in (("lower", True), ("higher", False)):
        found = own_metric(better, "own", value=interval(0.1, 0.2, 0.3), versus=None)["metrics"]
        write_json(tmp_path / "M1" / "eval.json", {**evaluation("M1"), "metrics": {"score": found["mine"]}})
        assert (decide(run, run.steps["M1/eval"]) is not None) is reached


def test_an_evaluation_of_an_earlier_version_says_how_to_go_on(tmp_path: Path) -> None:
    old = {name: value for name, value in evaluation("M1").items() if name != "metrics"}
    run = run_with(tmp_path, {"M1": old})
    with pytest.raises(InputError, match=r"M1 has no 'metrics'.*--redo eval"):
        decide(run, run.steps["M1/eval"])


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ([None], "M1"),
        ([None, BETTER, BETTER], "M3"),
        ([None, BETTER, EVEN], "M3"),
        ([None, BETTER, WORSE], "M2"),
        ([None, WORSE, EVEN], "M1"),  # as good as a model that is worse
        ([None, WORSE, BETTER], "M1"),  # better than a worse one: nobody set it against M1
        ([None, BETTER, WORSE, BETTER], "M2"),
        ([None, None, EVEN], "M3"),
    ],
)
def test_the_best_model_by_hand(rates: list[dict[str, Any] | None], best: str) -> None:
    found, why = best_of([evaluation(f"M{k}", rate) for k, rate in enumerate(rates, 1)], "win_rate")
    assert found == best
    assert best in why or "worse" in why or "only" in why


def test_a_collapsed_judge_stops_the_run_before_anything_is_trained(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"M1": evaluation("M1")})
    judged(tmp_path, "M2", parse_rate=0.22)
    decision = decide(run, run.steps["M2/judge"])
    assert decision is not None
    assert decision.stopped
    assert decision.best == "M1"
    assert decision.reason == "M1 is no judge of these candidates: parse rate 0.22 is below 0.7"
    judged(tmp_path, "M2")
    assert decide(run, run.steps["M2/judge"]) is None


def test_a_warning_gate_lets_the_run_go_on_and_is_written_down(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"M1": evaluation("M1")}, health={"stop_on": []})
    judged(tmp_path, "M2", parse_rate=0.22)
    assert decide(run, run.steps["M2/judge"]) is None
    (failure,) = failed_gates(run)
    assert (failure["step"], failure["judge"], failure["gate"], failure["stops"]) == (
        "M2/judge", "M1", "parse_rate", False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "stop", "reason"),
    [
        (WORSE, {}, "M2 is worse than M1"),
        (WORSE, {"worse": "go_on"}, None),
        (EVEN, {}, None),
        (EVEN, {"no_gain": "stop"}, "M2 is no clear gain over M1"),
        (BETTER, {"no_gain": "stop"}, None),
        (BETTER, {"target": 0.6}, "win rate 0.600 of M2 reaches 0.6"),
        (BETTER, {"target": 0.61}, None),
    ],
)
def test_stop_rules(tmp_path: Path, rate: dict[str, Any], stop: dict[str, Any], reason: str | None) -> None:
    run = run_with(tmp_path, {"M1": evaluation("M1"), "M2": evaluation("M2", rate)}, stop=stop)
    assert decide(run, run.steps["M1/eval"]) is None
    decision = decide(run, run.steps["M2/eval"])
    if reason is None:
        assert decision is None
    else:
        assert decision is not None
        assert decision.reason.startswith(reason)
        assert decision.best == ("M1" if rate is WORSE else "M2")


def checked(model: str, gain: dict[str, Any] | None, passes: float = 0.5) -> dict[str, Any]:
    measures = {"passes": interval(passes - 0.1, passes, passes + 0.1), "on topic": interval(0.9, 0.95, 1.0)}
    found: dict[str, Any] = {"model": model, "headline": "passes", "measures": measures, "previous": "M1"}
    found["differences"] = {"passes": gain} if gain else {}
    return {**found, "metrics": metric_block("checks", Measured(found))}


@pytest.mark.parametrize(
    ("gain", "stop", "reason", "best"),
    [
        (interval(-0.12, -0.08, -0.05), {}, "M2 is worse than M1 by checker, clear of the interval", "M1"),
        (interval(-0.12, -0.08, -0.05), {"worse": "go_on"}, None, "M1"),
        (interval(-0.02, 0.01, 0.04), {"no_gain": "stop"}, "M2 is no clear gain over M1 by checker", "M2"),
        (interval(0.02, 0.06, 0.1), {"no_gain": "stop"}, None, "M2"),
        (interval(0.02, 0.06, 0.1), {"target": 0.55}, "checker 0.560 of M2 reaches 0.55", "M2"),
    ],
)
def test_ground_truth_decides_where_the_config_says_so(
    tmp_path: Path, gain: dict[str, Any], stop: dict[str, Any], reason: str | None, best: str
) -> None:
    (tmp_path / "check.py").touch()
    run = run_with(
        tmp_path,
        {"M1": evaluation("M1"), "M2": evaluation("M2", BETTER)},  # whatever the judge says
        stop={"metric": "checker", **stop},
        evaluation={"checker": str(tmp_path / "check.py")},
    )
    for name, found in {"M1": checked("M1", None), "M2": checked("M2", gain, 0.56)}.items():
        write_json(tmp_path / name / "checks.json", found)
        write_json(tmp_path / name / ".checks.done.json", {})
    assert decide(run, run.steps["M2/eval"]) is None
    decision = decide(run, run.steps["M2/checks"])
    assert (decision.reason if decision else None) == reason
    assert (decision or conclude(run, run.steps["M2/checks"])).best == best


def test_the_best_model_is_found_after_the_last_ground_truth(tmp_path: Path) -> None:
    (tmp_path / "check.py").touch()
    sick = evaluation("M2", BETTER) | {"judge_health": {**HEALTHY, "top_share": 0.95}}
    run = run_with(
        tmp_path,
        {"M1": evaluation("M1"), "M2": sick},
        stop={"metric": "checker"},
        evaluation={"checker": str(tmp_path / "check.py")},
    )
    write_json(tmp_path / "M1" / "checks.json", checked("M1", None))
    write_json(tmp_path / "M1" / ".checks.done.json", {})
    decision = decide(run, run.steps["M2/eval"])  # the gate, before M2 is checked
    assert decision is not None
    assert decision.best == "M1"
    write_json(tmp_path / "M2" / "checks.json", checked("M2", interval(0.02, 0.06, 0.1)))
    write_json(tmp_path / "M2" / ".checks.done.json", {})
    settled = with_best(run, decision)
    assert (settled.best, settled.reason, settled.at) == ("M2", decision.reason, "M2/eval")


def test_a_checker_cannot_decide_where_there_is_none() -> None:
    with pytest.raises(InputError, match=r"stop\.metric: checker needs evaluation\.checker"):
        parse({"seed_data": {"ift": "x.jsonl"}, "stop": {"metric": "checker"}}, "test")


def test_other_steps_and_m0_decide_nothing(tmp_path: Path) -> None:
    sick = evaluation("M0") | {"judge_health": {**HEALTHY, "parse_rate": 0.0}}
    run = run_with(tmp_path, {"M0": sick})
    assert decide(run, run.steps["M0/eval"]) is None
    assert decide(run, run.steps["M1/sft"]) is None


def test_the_best_model_is_pointed_at_and_a_users_file_stays(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"M1": evaluation("M1"), "M2": evaluation("M2", WORSE)})
    (tmp_path / "M1" / "model").mkdir()
    record(run, conclude(run, run.steps["M2/eval"]))
    assert (tmp_path / "best").resolve() == tmp_path / "M1" / "model"
    written = read_json(tmp_path / "decision.json")
    assert (written["best"], written["stopped"], written["reason"]) == ("M1", False, "all iterations done")

    write_json(tmp_path / "M2" / "eval.json", evaluation("M2", BETTER))
    record(run, conclude(run, run.steps["M2/eval"]))
    assert (tmp_path / "best").readlink() == Path("M2/model")

    (tmp_path / "best").unlink()
    (tmp_path / "best").write_text("mine")
    record(run, conclude(run, run.steps["M2/eval"]))
    assert (tmp_path / "best").read_text() == "mine"


def passing(model: str, share: float, change: dict[str, Any] | None) -> dict[str, Any]:
    found = checked(model, change, share)
    versus = found["metrics"]["checker"]["versus"]
    if versus is not None:
        versus["model"] = f"M{int(model[1:]) - 1}"
    return found


FELL, ROSE = interval(-0.5, -0.4, -0.3), interval(0.02, 0.1, 0.18)


def test_a_small_recovery_is_not_the_best_of_all() -> None:
    """60, 20, 30%: the third is better than the second and worse than the first."""
    shares = [passing("M1", 0.6, None), passing("M2", 0.2, FELL), passing("M3", 0.3, ROSE)]
    assert best_of(shares, "checker") == ("M1", "M3 is worse than M1 by checker, clear of the interval")
    above = passing("M3", 0.9, interval(0.6, 0.7, 0.8))
    assert best_of([*shares[:2], above], "checker")[0] == "M3"


def test_scores_by_two_judges_are_not_set_side_by_side() -> None:
    def scored(model: str, judge: str, mean: float, rate: dict[str, Any] | None) -> dict[str, Any]:
        found = evaluation(model, rate) | {"judge": judge}
        found["metrics"]["score"]["value"] = interval(mean - 0.1, mean, mean + 0.1)
        return found

    for judge, best in (("M3", "M1"), ("fixed", "M3")):
        one, two = scored("M1", "fixed", 3.0, None), scored("M2", "fixed", 2.0, WORSE)
        assert best_of([one, two, scored("M3", judge, 4.0, BETTER)], "score")[0] == best


def test_m0_is_a_candidate(tmp_path: Path) -> None:
    rates = {"M0": None, "M1": WORSE}
    run = run_with(tmp_path, {name: evaluation(name, rate) for name, rate in rates.items()})
    decision = conclude(run, run.steps["M1/eval"])
    assert decision.best == "M0"
    weights = tmp_path / "weights"
    weights.mkdir()
    write_json(tmp_path / "M0" / "model.json", {"path": str(weights)})
    record(run, decision)
    assert (tmp_path / "best").resolve() == weights
    write_json(tmp_path / "M1" / "eval.json", evaluation("M1", BETTER))
    assert conclude(run, run.steps["M1/eval"]).best == "M1"


def test_a_win_rate_against_m0_reaches_no_target(tmp_path: Path) -> None:
    found = {"M0": evaluation("M0"), "M1": evaluation("M1", BETTER), "M2": evaluation("M2", BETTER)}
    run = run_with(tmp_path, found, stop={"target": 0.55})
    assert decide(run, run.steps["M1/eval"]) is None
    decision = decide(run, run.steps["M2/eval"])
    assert decision is not None
    assert decision.at == "M2/eval"


@pytest.mark.parametrize("stop", [{}, {"target": 0.0}, {"no_gain": "stop"}])
def test_few_prompts_decide_nothing(tmp_path: Path, stop: dict[str, Any]) -> None:
    lost = win_rate(["lose"], seed=0).as_dict()["rate"]
    for rate in (lost, {**WORSE, "n": 19}):
        run = run_with(tmp_path, {"M1": evaluation("M1"), "M2": evaluation("M2", rate)}, stop=stop)
        assert decide(run, run.steps["M2/eval"]) is None
        assert conclude(run, run.steps["M2/eval"]).best == "M2"


def test_a_model_is_set_against_the_best_so_far(tmp_path: Path) -> None:
    (tmp_path / "check.py").touch()
    found = {"M1": passing("M1", 0.6, None), "M2": passing("M2", 0.2, FELL), "M3": passing("M3", 0.3, ROSE)}
    run = run_with(
        tmp_path,
        {name: evaluation(name) for name in found},
        stop={"metric": "checker"},
        evaluation={"checker": str(tmp_path / "check.py")},
    )
    for name, measured in found.items():
        write_json(tmp_path / name / "checks.json", measured)
        write_json(tmp_path / name / ".checks.done.json", {})
    decision = decide(run, run.steps["M3/checks"])
    assert decision is not None
    assert (decision.best, decision.reason) == ("M1", "M3 is worse than M1 by checker, clear of the interval")


@pytest.mark.parametrize(
    ("rate", "stop", "reason", "best"),
    [
        (WORSE, {}, "M3 is worse than M1 by win rate, clear of the interval", "M1"),
        (EVEN, {"no_gain": "stop"}, "M3 is no clear gain over M1 by win rate", "M3"),
        (BETTER, {"target": 0.6}, "win rate 0.600 of M3 reaches 0.6", "M3"),
        (BETTER, {}, None, "M3"),
    ],
)
def test_a_model_that_was_not_evaluated_is_passed_over(
    tmp_path: Path, rate: dict[str, Any], stop: dict[str, Any], reason: str | None, best: str
) -> None:
    third = evaluation("M3", rate)
    third["metrics"]["win_rate"]["versus"]["model"] = "M1"
    run = run_with(tmp_path, {"M1": evaluation("M1"), "M3": third}, stop=stop, evaluation={"every": 2})
    assert "M2/eval" not in run.steps
    decision = decide(run, run.steps["M3/eval"])
    assert (decision.reason if decision else None) == reason
    settled = decision or conclude(run, run.steps["M3/eval"])
    assert settled.best == best
    record(run, settled)
    assert (tmp_path / "best").readlink() == Path(best) / "model"


def test_a_stop_between_two_evaluations_leaves_the_best_of_those_evaluated(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"M1": evaluation("M1")}, evaluation={"every": 3})
    judged(tmp_path, "M3", parse_rate=0.2)
    decision = decide(run, run.steps["M3/judge"])
    assert decision is not None
    assert (decision.at, decision.best) == ("M3/judge", "M1")
