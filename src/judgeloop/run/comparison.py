"""Two models set against each other by one metric, as their evaluations left it in eval.json and checks.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from judgeloop.errors import InputError
from judgeloop.report.wording import fallen, interval, number, points, signed

Verdict = Literal["better", "worse", "even", "unknown"]
How = Literal["measured", "paired", "apart"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`model` is better or worse than `against` if the interval `value` leaves out `even`: "measured" by its own
    evaluation (a win rate, or the differences over prompts), or "paired", the mean difference over the prompts that
    both have a number for. Of two intervals set "apart" `other` is the other's, and they must not overlap. If the
    verdict is "unknown", `basis` says why, else on what it rests."""

    verdict: Verdict
    model: str
    against: str
    basis: str
    how: How | None = None
    value: Mapping[str, Any] | None = None
    other: Mapping[str, Any] | None = None
    even: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields that say something."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def compare(
    now: Mapping[str, Any],
    other: Mapping[str, Any],
    name: str,
    *,
    min_count: int = 1,
    seed: int = 0,
    resamples: int = 1000,
) -> Comparison:
    """Set one model's eval.json (checks.json for the checker) against another's by a metric.

    What its evaluation measured against that very model goes first. Numbers by prompt that both have are compared
    paired, by the percentile bootstrap of their mean difference over prompts. Without them, two intervals of their own
    must not overlap, which errs on the side of "even". Values that two different judges gave, and rates against
    different models, say nothing; nor do fewer than `min_count` prompts.
    """
    sides = str(now.get("model")), str(other.get("model"))
    metric, theirs = metric_of(now, name), metric_of(other, name)
    if metric is None:
        return Comparison("unknown", *sides, f"{sides[0]} has none")

    def judged(how: How, value: Mapping[str, Any], low: float, high: float, basis: str, **more: Any) -> Comparison:
        if value["n"] < min_count:
            return Comparison("unknown", *sides, f"{_prompts(value)} are fewer than stop.min_count ({min_count})")
        verdict: Verdict = "even"
        if not (low <= value["high"] and value["low"] <= high):
            verdict = "better" if (value["low"] > high) == (metric["better"] == "higher") else "worse"
        return Comparison(verdict, *sides, f"{basis}, {_prompts(value)}", how, value, **more)

    versus, share = metric["versus"], bool(metric.get("share"))
    if versus is not None and versus["model"] == sides[1]:
        value, even = versus["value"], float(versus["even"])
        rate = interval(value, as_percent=True) if even else _difference(value, share=share)
        return judged("measured", value, even, even, rate if even else f"paired difference {rate}", even=even)
    if versus is not None and is_comparison(metric):
        return Comparison("unknown", *sides, f"{sides[0]} was compared with {versus['model']}, not with {sides[1]}")
    if theirs is None or theirs["value"] is None or metric["value"] is None or is_comparison(theirs):
        lacking = sides[1] if metric["value"] else sides[0]
        return Comparison("unknown", *sides, f"{lacking} has no {name.replace('_', ' ')} to compare")
    if metric["compare"] == "paired" and "judge_health" in now and now.get("judge") != other.get("judge"):
        return Comparison(
            "unknown", *sides, f"two judges, {now.get('judge')} and {other.get('judge')}, gave the scores"
        )
    if now.get("headline") != other.get("headline"):
        return Comparison("unknown", *sides, "the checker's headline is another measure")
    ours, before = metric.get("by_prompt"), theirs.get("by_prompt")
    if ours and before:
        differences = [value - before[prompt] for prompt, value in ours.items() if prompt in before]
        if not differences:
            return Comparison("unknown", *sides, "they have no prompt in common")
        value = _paired(differences, share, seed, resamples)
        return judged("paired", value, 0, 0, f"paired difference {_difference(value, share=share)}", even=0.0)
    value, against = metric["value"], theirs["value"]
    if against["n"] < min_count:
        return Comparison("unknown", *sides, f"{_prompts(against)} of {sides[1]} are fewer than stop.min_count")
    both = f"{interval(value, as_percent=share)} and {interval(against, as_percent=share)}, not paired"
    return judged("apart", value, against["low"], against["high"], both, other=against)


def fallen_groups(now: Mapping[str, Any], best: Mapping[str, Any]) -> list[str]:
    """The groups of prompts in which a model passes less often than the best so far, by the same measure."""
    if (now.get("headline"), now.get("group")) != (best.get("headline"), best.get("group")):
        return []
    return list(fallen(now.get("groups") or {}, best.get("groups") or {}, f"{now.get('group')} "))


def metric_of(measured: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """A metric in the block `metrics` of an eval.json or checks.json; None if another stage measures it."""
    if "metrics" not in measured:
        raise InputError(
            f"the evaluation of {measured.get('model')} has no 'metrics': an earlier version made it; "
            "make it anew with --redo eval"
        )
    found: Mapping[str, Any] | None = measured["metrics"].get(name)
    return found


def is_comparison(metric: Mapping[str, Any]) -> bool:
    """Whether the metric's own value is the comparison with the model before, as a win rate is."""
    versus = metric.get("versus")
    return versus is not None and "by_prompt" not in metric and bool(versus["value"] == metric["value"])


def _paired(differences: list[float], share: bool, seed: int, resamples: int) -> dict[str, Any]:
    from judgeloop.evaluation.statistics import mean_interval

    found = mean_interval(differences, seed=seed, resamples=resamples, bounds=(-1.0, 1.0) if share else None)
    assert found is not None  # there are differences
    return found.as_dict()


def _difference(value: Mapping[str, Any], *, share: bool) -> str:
    """ "+12.6 (8.2 to 16.9) points" of a share, else "+0.31 (0.12 to 0.50)"."""
    if share:
        return f"{points(value)} points"
    return f"{signed(value['value'])} ({number(value['low'])} to {number(value['high'])})"


def _prompts(value: Mapping[str, Any]) -> str:
    return f"{value['n']} prompt{'' if value['n'] == 1 else 's'}"
