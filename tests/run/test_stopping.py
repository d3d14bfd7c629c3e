from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import Config, HealthSection, parse
from judgeloop.errors import InputError
from judgeloop.evaluation.ground_truth import CheckedResponse, ground_truth, prompt_means
from judgeloop.evaluation.metrics import Measured, metric_block
from judgeloop.evaluation.statistics import mean_interval
from judgeloop.evaluation.win_rates import win_rate
from judgeloop.loop import method
from judgeloop.run.comparison import compare
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.run.stopping import best_of, conclude, decide, failed_gates, gate_failures, record, with_best

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
    previous = f"M{int(model[1:]) - 1}"
    counts = {"win": 30, "tie": 10, "lose": 20, "unparsed": 0}
    duel = None if rate is None else {"previous": previous, **counts, "rate": rate, "by_score": {"rate": rate}}
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
        assert decision.reason == "M2 lost its chosen answers: chosen change −6.00 is below −5"
        assert decision.best == "M1"
    failed = [found["gate"] for found in failed_gates(run)]
    assert failed == (["chosen_change"] if change == -6.0 else [])


def verdict(now: dict[str, Any], other: dict[str, Any], name: str, **how: int) -> str:
    return compare(now, other, name, **how).verdict


def test_comparing_needs_a_clear_interval() -> None:
    before = evaluation("M1")
    assert verdict(evaluation("M2", BETTER), before, "win_rate") == "better"
    assert verdict(evaluation("M2", EVEN), before, "win_rate") == "even"
    assert verdict(evaluation("M2", WORSE), before, "score") == "worse"
    assert verdict(evaluation("M2"), before, "win_rate") == "unknown"
    first = evaluation("M1", agreement={"pairwise_ties_half": interval(0.5, 0.55, 0.6)})
    above = evaluation("M2", agreement={"pairwise_ties_half": interval(0.61, 0.7, 0.8)})
    across = evaluation("M2", agreement={"pairwise_ties_half": interval(0.59, 0.7, 0.8)})
    assert verdict(above, first, "agreement") == "better"
    assert verdict(first, above, "agreement") == "worse"
    assert verdict(across, first, "agreement") == "even"
    assert verdict(above, before, "agreement") == "unknown"


def own_metric(better: str, compare_by: str, model: str = "M2", **found: Any) -> dict[str, Any]:
    """An eval.json with a user's metric that the code of the package knows nothing of."""
    return {"model": model, "metrics": {"mine": {"label": "mine", "better": better, "compare": compare_by, **found}}}


def test_a_metric_whose_lower_values_are_better() -> None:
    less = {"model": "M1", "value": interval(-0.3, -0.2, -0.1), "even": 0.0}
    paired = {"value": interval(0.1, 0.2, 0.3), "versus": less}
    first = own_metric("lower", "paired", "M1", value=None, versus=None)
    assert verdict(own_metric("lower", "paired", **paired), first, "mine") == "better"
    assert verdict(own_metric("higher", "paired", **paired), first, "mine") == "worse"
    low, high = ({"value": interval(v, v + 0.1, v + 0.2), "versus": None} for v in (0.1, 0.5))
    now, before = own_metric("lower", "own", **high), own_metric("lower", "own", "M1", **low)
    assert verdict(now, before, "mine") == "worse"
    assert verdict(before, now, "mine") == "better"
    assert verdict(now, first, "mine") == "unknown"
    unread = evaluation("M2", interval(0, 0, 0))
    unread["metrics"]["win_rate"] |= {"value": None, "versus": None}
    assert compare(unread, evaluation("M1"), "win_rate").basis == "M2 has no win rate to compare"
    assert verdict(now, before, "elsewhere") == "unknown"


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
    found = best_of([evaluation(f"M{k}", rate) for k, rate in enumerate(rates, 1)], "win_rate")
    assert found.model == best
    assert best in found.why or "worse" in found.why or "only" in found.why


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
    assert decision is None if reason is None else decision is not None and decision.reason.startswith(reason)
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
    found = best_of(shares, "checker")
    assert found.model == "M1"
    assert found.why == (
        "M3 is worse than M1 by checker, clear of the interval: 30% (20–40%) and 60% (50–70%), not paired, 60 prompts"
    )
    above = passing("M3", 0.9, interval(0.6, 0.7, 0.8))
    assert best_of([*shares[:2], above], "checker").model == "M3"


def test_no_better_on_the_whole_and_worse_in_a_group_is_no_next_model() -> None:
    """M3 is level with M2 and no longer keeps one rule."""
    rules = {"M2": {"bullets": interval(0.8, 0.9, 1.0, 24), "title": interval(0.3, 0.5, 0.7, 24)},
             "M3": {"bullets": interval(0.0, 0.1, 0.2, 24), "title": interval(0.9, 1.0, 1.0, 24)}}  # fmt: skip
    level = interval(-0.05, 0.0, 0.05)
    shares = [passing("M1", 0.6, None), passing("M2", 0.7, ROSE), passing("M3", 0.7, level)]
    assert best_of(shares, "checker").model == "M3"
    forgot = [shares[0], *(found | {"group": "rule", "groups": rules[found["model"]]} for found in shares[1:])]
    found = best_of(forgot, "checker")
    assert found.model == "M2"
    assert found.why.startswith("M3 is not shown to be better than M2 by checker: paired difference +0.0 (−5.0 to 5.0)")
    assert found.why.endswith("; and it is worse at rule bullets 10% (0–20%), was 90% (80–100%)")
    forgot[2]["group"] = "another column"
    assert best_of(forgot, "checker").model == "M3"
    better = passing("M3", 0.8, ROSE) | {"group": "rule", "groups": rules["M3"]}
    assert best_of([*forgot[:2], better], "checker").model == "M3"


def by_prompt(model: str, right: list[float], against: dict[str, Any] | None = None) -> dict[str, Any]:
    """The checks of a model that passes as many of each prompt's responses as `right` says."""
    rows = [
        CheckedResponse(f"{model}.{p}.{k}", f"p{p}", True, {"passes": float(k < round(4 * share))})
        for p, share in enumerate(right)
        for k in range(4)
    ]
    before = [] if against is None else against["rows"]
    figures = ground_truth(rows, seed=0, resamples=300, previous=before)
    figures["previous"] = None if against is None else against["model"]
    numbers = {"checker": prompt_means(rows, "passes")}
    return {
        "model": model,
        "rows": rows,
        **figures,
        "metrics": metric_block("checks", Measured(figures, numbers=numbers)),
    }


HARD = [0.25 * (p % 4) for p in range(60)]  # prompts differ more than models do


def test_models_that_answered_the_same_prompts_are_compared_paired() -> None:
    """M3 passes a quarter more of every fourth prompt than M1: the two intervals overlap, the differences do not
    reach 0."""
    first = by_prompt("M1", HARD)
    second = by_prompt("M2", [0.0] * 60, first)
    third = by_prompt("M3", [share + 0.25 * (p % 4 == 1) for p, share in enumerate(HARD)], second)
    one, three = (found["metrics"]["checker"]["value"] for found in (first, third))
    assert three["low"] < one["high"]
    found = compare(third, first, "checker", min_count=20)
    assert (found.verdict, found.how) == ("better", "paired")
    assert found.value is not None
    assert found.value["value"] == pytest.approx(0.0625)
    assert 0 < found.value["low"] < 0.0625 < found.value["high"]
    choice = best_of([first, second, third], "checker", min_count=20)
    assert choice.model == "M3"
    assert choice.why.startswith("M3 is better than M1 by checker, clear of the interval: paired difference +6.2 (")
    assert choice.why.endswith(" points, 60 prompts")
    assert compare(third, first, "checker", min_count=61).verdict == "unknown"
    del first["metrics"]["checker"]["by_prompt"]  # of an earlier version
    assert compare(third, first, "checker", min_count=20).how == "apart"


def test_small_falls_do_not_add_up_unseen() -> None:
    """Each model is even with the one before, and the last is clearly worse than the first."""
    shares: list[list[float]] = [[0.75] * 60]
    for step in range(3):
        fall = [0.25 * (p // 4 == step) - 0.25 * (p == 59 - step) for p in range(60)]
        shares.append([have - less for have, less in zip(shares[-1], fall, strict=True)])
    models: list[dict[str, Any]] = []
    for number, right in enumerate(shares, 1):
        models.append(by_prompt(f"M{number}", right, models[-1] if models else None))
    verdicts = [compare(now, before, "checker").verdict for before, now in pairwise(models)]
    assert verdicts == ["even"] * 3
    assert compare(models[3], models[0], "checker").verdict == "worse"
    choice = best_of(models, "checker")
    assert choice.model != "M4"
    assert "M4 is worse than M1 by checker" in choice.why


def test_agreement_with_the_same_ranks_is_compared_paired() -> None:
    def ranked(model: str, right: list[float]) -> dict[str, Any]:
        value = mean_interval(right, seed=0, resamples=300)
        assert value is not None
        figures = {"agreement": {"pairwise_ties_half": value.as_dict()}}
        numbers = {"agreement": {f"r{k}": share for k, share in enumerate(right)}}
        return {"model": model, "judge": model, "judge_health": HEALTHY,
                "metrics": metric_block("eval", Measured(figures, numbers=numbers))}  # fmt: skip

    found = compare(ranked("M3", [share + 0.1 for share in HARD]), ranked("M1", HARD), "agreement")
    assert (found.verdict, found.how) == ("better", "paired")


def test_a_win_rate_against_a_worse_model_says_nothing_of_the_best(tmp_path: Path) -> None:
    found = best_of([evaluation("M1"), evaluation("M2", WORSE), evaluation("M3", BETTER)], "win_rate")
    assert found.model == "M1"
    assert found.why == (
        "M2 is worse than M1 by win rate, clear of the interval: 40% (30–48%), 60 prompts; "
        "M3 is not shown to be better than M1 by win rate: M3 was compared with M2, not with M1"
    )
    evaluations = {"M1": evaluation("M1"), "M2": evaluation("M2", BETTER)}
    run = run_with(tmp_path, evaluations)
    record(run, conclude(run, run.steps["M2/eval"]))
    rests_on = read_json(tmp_path / "decision.json")["rests_on"]
    assert rests_on == {
        "metric": "win_rate", "verdict": "better", "model": "M2", "against": "M1", "how": "measured", "even": 0.5,
        "value": BETTER, "basis": "60% (52–68%), 60 prompts",
    }  # fmt: skip


def test_scores_by_two_judges_are_not_set_side_by_side() -> None:
    def scored(model: str, judge: str, mean: float, rate: dict[str, Any] | None) -> dict[str, Any]:
        found = evaluation(model, rate) | {"judge": judge}
        found["metrics"]["score"]["value"] = interval(mean - 0.1, mean, mean + 0.1)
        return found

    for judge, best in (("M3", "M1"), ("fixed", "M3")):
        one, two = scored("M1", "fixed", 3.0, None), scored("M2", "fixed", 2.0, WORSE)
        assert best_of([one, two, scored("M3", judge, 4.0, BETTER)], "score").model == best


def test_m0_is_a_candidate(tmp_path: Path) -> None:
    rates = {"M0": None, "M1": WORSE}
    run = run_with(tmp_path, {name: evaluation(name, rate) for name, rate in rates.items()})
    decision = conclude(run, run.steps["M1/eval"])
    assert decision.best == "M0"
    weights = tmp_path / "weights"
    weights.mkdir()
    write_json(tmp_path / "M0" / "model.json", {"path": str(weights), "hash": "h"})
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
    assert decision.best == "M1"
    assert decision.reason.startswith("M3 is worse than M1 by checker, clear of the interval: 30% (20–40%) and 60%")


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
    assert (decision is not None and decision.reason.startswith(reason)) if reason else decision is None
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
