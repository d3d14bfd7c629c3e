"""Whether the run goes on, and which of its models is the best: decided on held-out data, with the reason.

The loop goes on until the model is as good as wanted: the last iteration, a target, no gain or a loss against the
model before, or a judge that no longer is one. Metrics explain themselves in eval.json and checks.json
(`evaluation.metrics`); nothing of the code that measures them is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from judgeloop.config import HealthSection, StopSection
from judgeloop.errors import InputError
from judgeloop.run.directory import RunDirectory, read_json, write_json
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
        side = "below" if self.gate in ("parse_rate", "agreement") else "above"
        return f"{self.gate.replace('_', ' ')} {self.value:.2f} is {side} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Decision:
    """`stopped`: the run ended before its last iteration, after step `at`. `best` is the model to use."""

    stopped: bool
    at: str
    reason: str
    best: str
    why_best: str


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
    return found


def _failure(name: str, value: object, bound: object, section: HealthSection) -> Failure:
    return Failure(name, float(str(value)), float(str(bound)), name in section.stop_on)


def compare(now: Mapping[str, Any], before: Mapping[str, Any] | None, name: str) -> str | None:
    """ "better", "worse" or "even" than the model before, clear of the intervals; None if it cannot be said.

    Takes two eval.json (checks.json for the checker). A paired metric's comparison must leave out the value at which
    both models are equal (0.5 for a win rate, 0 for a difference). For a metric that each model has of its own, such
    as agreement, the two intervals must not overlap (which errs on the side of "even").
    """
    metric = metric_of(now, name)
    if metric is None:
        return None
    if metric["compare"] == "paired":
        versus = metric["versus"]
        if versus is None:
            return None
        ours, low, high = versus["value"], versus["even"], versus["even"]
    else:
        theirs = (metric_of(before, name) or {}).get("value") if before else None
        ours = metric["value"]
        if ours is None or theirs is None:
            return None
        low, high = theirs["low"], theirs["high"]
    if low <= ours["high"] and ours["low"] <= high:
        return "even"
    return "better" if (ours["low"] > high) == (metric["better"] == "higher") else "worse"


def metric_of(measured: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """A metric in the block `metrics` of an eval.json or checks.json; None if another stage measures it."""
    if "metrics" not in measured:
        raise InputError(
            f"the evaluation of {measured.get('model')} has no 'metrics': an earlier version made it; "
            "make it anew with --redo eval"
        )
    found: Mapping[str, Any] | None = measured["metrics"].get(name)
    return found


def best_of(evaluations: Sequence[Mapping[str, Any]], metric: str) -> tuple[str, str]:
    """The model to use, and why: the last that is not worse than the one before; after a worse one, only a model that
    is clearly better than its predecessor takes over. Takes the eval.json (or checks.json) of M1, M2, … in order."""
    best, why = str(evaluations[0]["model"]), "the only trained model that was evaluated"
    words = metric.replace("_", " ")
    for before, now in pairwise(evaluations):
        verdict = compare(now, before, metric)
        name, previous = str(now["model"]), str(before["model"])
        if verdict == "worse":
            why = f"{name} is worse than {previous} by {words}, clear of the interval"
            continue
        if best == previous or verdict == "better":
            best = name
            how = {"better": "better than", "even": "not clearly better or worse than"}.get(str(verdict), "after")
            why = f"{name} is {how} {previous} by {words}"
    return best, why


def decide(run: RunDirectory, step: Step) -> Decision | None:
    """Look at what a finished step left and say whether the run stops here; None: it goes on, or the step says nothing.

    Only files of the run are read, so a run that is started again decides the same.
    """
    if step.label == "judge":
        found = read_json(run.folder(step.model) / "judge.json")
        reason = _gates_that_stop(found["health"], None, run.config.health)
        return _decision(run, step, f"{found['judge']} is no judge of these candidates: {reason}") if reason else None
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
    value = metric["value"]
    if section.target is not None and value is not None:
        reached = value["value"] - section.target if metric["better"] == "higher" else section.target - value["value"]
        if reached >= 0:
            return _decision(run, step, f"{words} {value['value']:.3f} of {step.model} reaches {section.target:g}")
    number = int(step.model[1:])
    if number < 2:
        return None
    before = run.folder(f"M{number - 1}") / f"{step.label}.json"
    verdict = compare(now, read_json(before) if before.exists() else None, section.metric)
    if verdict == "worse" and section.worse == "stop":
        return _decision(run, step, f"{step.model} is worse than M{number - 1} by {words}, clear of the interval")
    if verdict == "even" and section.no_gain == "stop":
        return _decision(run, step, f"{step.model} is no clear gain over M{number - 1} by {words}")
    return None


def conclude(run: RunDirectory, last: Step) -> Decision:
    """The decision of a run that did all its iterations."""
    return _decision(run, last, "all iterations done", stopped=False)


def with_best(run: RunDirectory, decision: Decision) -> Decision:
    """The decision with the best model by what is measured now: the last model's ground truth comes after it."""
    best, why = _best(run)
    return replace(decision, best=best, why_best=why)


def _decision(run: RunDirectory, step: Step, reason: str, *, stopped: bool = True) -> Decision:
    return Decision(stopped, step.name, reason, *_best(run))


def _best(run: RunDirectory) -> tuple[str, str]:
    """Of the models for which the deciding metric was measured so far, by whichever stage measures it."""
    name = run.config.stop.metric
    finished = [s for s in run.steps.values() if s.label in MEASURING and s.model != "M0" and run.state(s) == "done"]
    measured = [read_json(run.folder(step.model) / f"{step.label}.json") for step in finished]
    deciding = [found for found in measured if metric_of(found, name) is not None]
    return best_of(deciding, name) if deciding else ("M1", "no trained model was evaluated")


def record(run: RunDirectory, decision: Decision) -> None:
    """Write decision.json, with the gates' failures of every judging and evaluation, and point `best` at the model."""
    write_json(run.path / FILE, {**asdict(decision), "failed_gates": failed_gates(run)})
    link = run.path / "best"
    if link.is_symlink():
        link.unlink()
    if not link.exists():  # what a user put there stays
        link.symlink_to(f"{decision.best}/model", target_is_directory=True)


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
        else:
            continue
        found += [{"step": step.name, "judge": value.get("judge"), **asdict(failure)} for failure in failures]
    return found
