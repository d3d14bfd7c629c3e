"""Whether the run goes on, and which of its models is the best: decided on held-out data, with the reason.

The loop goes on until the model is as good as wanted: the last iteration, a target, no gain or a loss against the
model before, or a judge that no longer is one. Metrics explain themselves in eval.json and checks.json
(`evaluation.metrics`); nothing of the code that measures them is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from judgeloop.config import HealthSection, StopSection
from judgeloop.run.comparison import Comparison, compare, fallen_groups, is_comparison, metric_of
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.run.stage import Step

FILE = "decision.json"
_SCALE = 5  # the scale from 0 that bounds of scores are for; on another they are taken in proportion
MEASURING = ("eval", "checks")  # stages that leave metrics, each in a JSON file of its name


@dataclass(frozen=True, slots=True)
class Failure:
    """A gate that a judge fails: its value, the bound, and whether the run stops for it."""

    gate: str
    value: float
    bound: float
    stops: bool

    def sentence(self) -> str:
        side = "below" if self.gate in ("parse_rate", "agreement", "chosen_change") else "above"
        said = f"{self.gate.replace('_', ' ')} {self.value:.2f} is {side} {self.bound:g}"
        return said.replace(" -", " −")


@dataclass(frozen=True, slots=True)
class Decision:
    """`stopped`: the run ended before its last iteration, after step `at`. `best` is the model to use, and `rests_on`
    the last comparison that made it so, with its figures; None if there was none."""

    stopped: bool
    at: str
    reason: str
    best: str
    why_best: str
    rests_on: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The best of several models, why, and the last comparison that it hangs on."""

    model: str
    why: str
    rests_on: Comparison | None = None


def gate_failures(
    health: Mapping[str, Any], agreement: Mapping[str, Any] | None, section: HealthSection
) -> list[Failure]:
    """The gates that a judge's health (as in eval.json's `judge_health`) fails; few judgements fail none."""
    found: list[Failure] = []
    if int(health.get("judgements") or 0) >= section.min_count:
        below = ("parse_rate", health.get("parse_rate"), section.min_parse_rate)
        correlation = health.get("length_correlation")
        lowest, highest = health.get("scale") or (0, _SCALE)
        spread = section.max_retest_spread and section.max_retest_spread * (highest - lowest) / _SCALE
        above = (
            ("tie_rate", health.get("tie_rate"), section.max_tie_rate),
            ("top_share", health.get("top_share"), section.max_top_share),
            ("length_correlation", None if correlation is None else abs(correlation), section.max_length_correlation),
            ("retest_spread", health.get("retest_spread"), spread),
        )
        if below[1] is not None and below[2] is not None and below[1] < below[2]:
            found.append(_failure(*below, section))
        for name, value, bound in above:
            if value is not None and bound is not None and value > bound:
                found.append(_failure(name, value, bound, section))
    people = (agreement or {}).get("pairwise_ties_half")
    least = section.min_agreement
    if people is not None and least is not None and people["n"] >= section.min_count and people["high"] < least:
        found.append(_failure("agreement", people["value"], least, section))
    blindness, most = health.get("prompt_blindness"), section.max_prompt_blindness
    if blindness is not None and most is not None and blindness["n"] >= section.min_count and blindness["low"] > most:
        found.append(_failure("prompt_blindness", blindness["value"], most, section))
    return found


def training_failures(trained: Mapping[str, Any], section: HealthSection) -> list[Failure]:
    """The gate that a training (as in train.json) fails: its chosen answers became too unlikely."""
    change, least = trained.get("chosen_change"), section.min_chosen_change
    if change is None or least is None or change >= least:
        return []
    return [_failure("chosen_change", change, least, section)]


def _failure(name: str, value: object, bound: object, section: HealthSection) -> Failure:
    return Failure(name, float(str(value)), float(str(bound)), name in section.stop_on)


def best_of(evaluations: Sequence[Mapping[str, Any]], metric: str, **how: int) -> Choice:
    """The model to use, and why: the last one that is not worse than the best so far. Takes the eval.json (or
    checks.json) of M0 (if it was evaluated), M1, M2, … in order; `how` is passed on to `compare`.

    A model whose predecessor is the best so far takes over unless it is worse than that one, or than an earlier one
    that it can be set against, or no better on the whole and clearly worse in one group of the checker's prompts.
    After one that did not, the next must be set against the best so far: if that was not measured, or it is not clearly
    better, the best stays.
    """
    best, rests_on = evaluations[0], None
    lost: Comparison | None = None
    why = "the only model that was evaluated" if best["model"] == "M0" else "the only trained model that was evaluated"
    for place, now in enumerate(evaluations[1:], 1):
        found = compare(now, best, metric, **how)
        if found.verdict in ("even", "unknown"):
            others = (compare(now, other, metric, **how) for other in evaluations[:place] if other is not best)
            found = next((each for each in others if each.verdict == "worse"), found)
        follows = evaluations[place - 1] is best
        fell = fallen_groups(now, best) if found.verdict == "even" and metric == "checker" else []
        if found.verdict == "better" or (found.verdict != "worse" and follows and not fell):
            best, lost = now, None
        why, rests_on = _in_words(found, metric, takes_over=best is now), found
        if fell:
            why += f"; and it is worse at {'; '.join(fell)}"
        if found.verdict == "worse":
            lost = found
        elif lost is not None:  # why this one had to be set against a model that it does not come after
            why = f"{_in_words(lost, metric, takes_over=False)}; {why}"
    return Choice(str(best["model"]), why, rests_on)


def _in_words(found: Comparison, metric: str, *, takes_over: bool) -> str:
    """What a comparison by a metric says, and on what it rests."""
    by = f"{found.against} by {metric.replace('_', ' ')}"
    if found.verdict == "unknown" and takes_over:
        return f"{found.model} comes after {found.against}, and nothing shows that it is worse: {found.basis}"
    said = {
        "better": f"is better than {by}, clear of the interval",
        "worse": f"is worse than {by}, clear of the interval",
        "even": f"is not clearly better or worse than {by}",
        "unknown": f"is not shown to be better than {by}",
    }[found.verdict]
    if found.verdict == "even" and not takes_over:
        said = f"is not shown to be better than {by}"
    return f"{found.model} {said}: {found.basis}"


def decide(run: RunDirectory, step: Step) -> Decision | None:
    """Look at what a finished step left and say whether the run stops here; None: it goes on, or the step says nothing.

    Only files of the run are read, so a run that is started again decides the same.
    """
    if step.label == "judge":
        found = read_json(run.folder(step.model) / "judge.json")
        reason = _gates_that_stop(found["health"], None, run.config.health)
        return _decision(run, step, f"{found['judge']} is no judge of these candidates: {reason}") if reason else None
    if step.label == "train":
        failed = training_failures(read_json(run.folder(step.model) / "train.json"), run.config.health)
        reason = "; ".join(failure.sentence() for failure in failed if failure.stops)
        return _decision(run, step, f"{step.model} lost its chosen answers: {reason}") if reason else None
    if step.label not in MEASURING or step.model == "M0":
        return None
    if step.label == "eval":
        now = read_json(run.folder(step.model) / "eval.json")
        reason = _gates_that_stop(now.get("judge_health") or {}, now.get("agreement"), run.config.health)
        if reason:
            return _decision(run, step, f"{now.get('judge')} is no judge of these answers: {reason}")
    return _by_metric(run, step, run.config.stop)


def _gates_that_stop(
    health: Mapping[str, Any], agreement: Mapping[str, Any] | None, section: HealthSection
) -> str | None:
    failures = [failure for failure in gate_failures(health, agreement, section) if failure.stops]
    return "; ".join(failure.sentence() for failure in failures) or None


def _by_metric(run: RunDirectory, step: Step, section: StopSection) -> Decision | None:
    words = section.metric.replace("_", " ")
    now = read_json(run.folder(step.model) / f"{step.label}.json")
    metric = metric_of(now, section.metric)
    if metric is None:
        return None
    value, number = metric["value"], int(step.model[1:])
    # A rate against M0 says what the seed did: the target is for what the loop does.
    counts = number >= 2 or not is_comparison(metric)
    if section.target is not None and value is not None and counts and value["n"] >= section.min_count:
        reached = value["value"] - section.target if metric["better"] == "higher" else section.target - value["value"]
        if reached >= 0:
            return _decision(run, step, f"{words} {value['value']:.3f} of {step.model} reaches {section.target:g}")
    if number < 2:
        return None
    found = _against_best(run, step, now)
    said = _in_words(found, section.metric, takes_over=False)
    if found.verdict == "worse" and section.worse == "stop":
        return _decision(run, step, said)
    if found.verdict == "even" and section.no_gain == "stop":
        return _decision(run, step, f"{step.model} is no clear gain over {found.against} by {words}: {found.basis}")
    return None


def _against_best(run: RunDirectory, step: Step, now: Mapping[str, Any]) -> Comparison:
    """The model set against the best trained one before it; against the model before if it was never compared with
    the best."""
    stop, earlier = run.config.stop, [m for m in _measured(run) if 1 <= int(m["model"][1:]) < int(step.model[1:])]
    if not earlier:
        before = {"model": f"M{int(step.model[1:]) - 1}", "metrics": {}}
        return compare(now, before, stop.metric, **_how(run))
    best = best_of(earlier, stop.metric, **_how(run)).model
    found = compare(now, next(each for each in earlier if each["model"] == best), stop.metric, **_how(run))
    return compare(now, earlier[-1], stop.metric, **_how(run)) if found.verdict == "unknown" else found


def _how(run: RunDirectory) -> dict[str, int]:
    """How two models are compared in this run."""
    config = run.config
    return {"min_count": config.stop.min_count, "seed": config.seed, "resamples": config.evaluation.bootstrap}


def conclude(run: RunDirectory, last: Step) -> Decision:
    """The decision of a run that did all its iterations."""
    return _decision(run, last, "all iterations done", stopped=False)


def with_best(run: RunDirectory, decision: Decision) -> Decision:
    """The decision with the best model by what is measured now: the last model's ground truth comes after it."""
    return replace(decision, **_best(run))


def _decision(run: RunDirectory, step: Step, reason: str, *, stopped: bool = True) -> Decision:
    return Decision(stopped, step.name, reason, **_best(run))


def _best(run: RunDirectory) -> dict[str, Any]:
    """Of the models for which the deciding metric was measured so far, by whichever stage measures it; as the fields
    of a decision."""
    deciding = _measured(run)
    choice = Choice("M1", "no trained model was evaluated")
    if any(found["model"] != "M0" for found in deciding):
        choice = best_of(deciding, run.config.stop.metric, **_how(run))
    rests_on = choice.rests_on and {"metric": run.config.stop.metric, **choice.rests_on.as_dict()}
    return {"best": choice.model, "why_best": choice.why, "rests_on": rests_on}


def _measured(run: RunDirectory) -> list[dict[str, Any]]:
    """The eval.json (or checks.json) of every model, M0 first, in which the deciding metric is measured so far."""
    finished = [step for step in run.steps.values() if step.label in MEASURING and run.state(step) == "done"]
    found = [read_json(run.folder(step.model) / f"{step.label}.json") for step in finished]
    deciding = [measured for measured in found if _has(measured, run.config.stop.metric)]
    return sorted(deciding, key=lambda measured: int(measured["model"][1:]))


def _has(measured: Mapping[str, Any], name: str) -> bool:
    """M0 is a candidate only if the metric has a value of its own or M1 can be set against it; an evaluation that an
    earlier version made of it is passed over."""
    if measured.get("model") == "M0" and "metrics" not in measured:
        return False
    return metric_of(measured, name) is not None


def record(run: RunDirectory, decision: Decision) -> None:
    """Write decision.json, with the gates' failures of every judging and evaluation, and point `best` at the model."""
    write_json(run.path / FILE, {**asdict(decision), "failed_gates": failed_gates(run)})
    link = run.path / "best"
    if link.is_symlink():
        link.unlink()
    if not link.exists():  # what a user put there stays
        link.symlink_to(_weights(run, decision.best), target_is_directory=True)


def _weights(run: RunDirectory, model: str) -> str:
    """Where a model's weights are: in the run, but for M0, whose model.json names their folder."""
    if model != "M0":
        return f"{model}/model"
    return str(read_json(run.folder("M0") / "model.json")["path"])


def failed_gates(run: RunDirectory) -> list[dict[str, Any]]:
    """Every gate that failed so far: step, judge, and the failure's fields."""
    found = []
    for step in run.steps.values():
        if run.state(step) != "done" or step.model == "M0":
            continue
        if step.label == "judge":
            value = read_json(run.folder(step.model) / "judge.json")
            failures = gate_failures(value["health"], None, run.config.health)
        elif step.label == "eval":
            value = read_json(run.folder(step.model) / "eval.json")
            failures = gate_failures(value.get("judge_health") or {}, value.get("agreement"), run.config.health)
        elif step.label == "train":
            value = read_json(run.folder(step.model) / "train.json")
            failures = training_failures(value, run.config.health)
        else:
            continue
        found += [{"step": step.name, "judge": value.get("judge"), **asdict(failure)} for failure in failures]
    return found
