"""What a model is measured by. Each metric is declared once, as a `Metric`; choices.METRICS names them all.

The evaluation writes a block that explains itself into eval.json (and checks.json): per metric a label, which way is
better, the model's value and its comparison with the model before. Summary, terminal, report and stop rule read that
block, so a metric that a user's plugin registers is shown and can decide like a built-in one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from judgeloop.config.choices import METRICS
from judgeloop.errors import InputError
from judgeloop.records import Message

IntervalDict = Mapping[str, Any]  # {"value", "low", "high", "n"}


@dataclass(frozen=True, slots=True)
class EvaluatedPrompt:
    """One held-out prompt: the model's responses with their lengths, whether they were cut off at the token limit, and
    their scores (one each; None: no score). `texts` are the responses, `messages` the prompt."""

    characters: Sequence[int]
    tokens: Sequence[int]
    truncated: Sequence[bool]
    scores: Sequence[float | None]
    id: str = ""
    messages: Sequence[Message] = ()
    texts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """What one stage measured of one model. `figures` are the fields of its JSON file. `previous` are the prompts with
    the responses of the model before; of those, only the first response to a prompt has a score, by the same judge."""

    figures: Mapping[str, Any]
    prompts: Sequence[EvaluatedPrompt] = ()
    previous: Sequence[EvaluatedPrompt] = ()
    previous_model: str | None = None
    seed: int = 0
    resamples: int = 1000


@dataclass(frozen=True, slots=True)
class Versus:
    """A paired comparison with the model before: better or worse if the interval `value` leaves out `even`."""

    model: str
    value: IntervalDict
    even: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A model's own value and the comparison with the model before; None if there is none."""

    value: IntervalDict | None
    versus: Versus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric is a label, a way to estimate it and which way is better.

    `estimate` takes what the stage measured; a metric with one number per prompt is easier declared by `per_prompt`.
    `compare`: how two models are compared. By `paired`, the estimate brings the comparison along. By `own`, each
    model's own interval is compared with that of the model before; they must not overlap. `stage` measures it: "eval"
    writes eval.json, "checks" writes checks.json. `share`: the value is from 0 to 1 and shown in percent.
    """

    label: str
    estimate: Callable[[Measured], Estimate]
    better: Literal["higher", "lower"] = "higher"
    compare: Literal["paired", "own"] = "paired"
    stage: Literal["eval", "checks"] = "eval"
    share: bool = False


def per_prompt(
    label: str,
    function: Callable[[EvaluatedPrompt], float | bool | None],
    *,
    better: Literal["higher", "lower"] = "higher",
    interval: Literal["bootstrap", "wilson"] = "bootstrap",
    compare: Literal["paired", "own"] = "paired",
    share: bool = False,
) -> Metric:
    """A metric that is the mean of one number per prompt. A prompt for which `function` returns None is left out.

    `interval`: percentile bootstrap over prompts, or Wilson's for numbers that are all 0 or 1. `paired` compares by the
    differences of both models' numbers for the same prompt (bootstrap).
    """

    def estimate(measured: Measured) -> Estimate:
        from judgeloop.evaluation.statistics import as_dict, mean_interval, proportion_interval

        def mean(values: Sequence[float], least: float = 0) -> dict[str, Any] | None:
            bounds = (least, 1.0) if share and all(least <= value <= 1 for value in values) else None
            return as_dict(mean_interval(values, seed=measured.seed, resamples=measured.resamples, bounds=bounds))

        ours = _numbers(label, function, measured.prompts)
        if interval == "wilson":
            if not set(ours.values()) <= {0.0, 1.0}:
                raise InputError(f"metric '{label}': Wilson's interval needs 0 or 1 for each prompt; use bootstrap")
            value = as_dict(proportion_interval(round(sum(ours.values())), len(ours)))
        else:
            value = mean(list(ours.values()))
        if compare == "own" or measured.previous_model is None:
            return Estimate(value)
        theirs = _numbers(label, function, measured.previous)
        difference = mean([number - theirs[name] for name, number in ours.items() if name in theirs], -1)
        return Estimate(value, None if difference is None else Versus(measured.previous_model, difference))

    return Metric(label=label, estimate=estimate, better=better, compare=compare, share=share)


def metric_block(stage: str, measured: Measured, more: Sequence[str] = ()) -> dict[str, Any]:
    """`{name: {label, better, share, compare, value, versus}}` of the metrics that this stage measures: the built-in
    ones and, by name, those that users' files registered.

    `value` is an interval or None; `versus` is None or `{model, value, even}`.
    Raises InputError if a name is unknown or a user's metric fails or returns no number.
    """
    found: dict[str, Any] = {}
    for name in (*METRICS.builtin(), *more):
        metric = METRICS[name]
        if not isinstance(metric, Metric):
            raise InputError(f"metric '{name}' is {metric!r}; register a Metric, made by per_prompt(…) or Metric(…)")
        if metric.stage != stage:
            continue
        estimate = metric.estimate(measured)
        versus = estimate.versus
        found[name] = {
            "label": metric.label,
            "better": metric.better,
            "share": metric.share,
            "compare": metric.compare,
            "value": None if estimate.value is None else dict(estimate.value),
            "versus": versus and {"model": versus.model, "value": dict(versus.value), "even": versus.even},
        }
    return found


def _numbers(
    label: str, function: Callable[[EvaluatedPrompt], float | bool | None], prompts: Sequence[EvaluatedPrompt]
) -> dict[str, float]:
    """Prompt id → the function's number. The function may be a user's: what it does wrong is an InputError."""
    found = {}
    for prompt in prompts:
        try:
            number = function(prompt)
        except Exception as error:
            where = f"{Path(function.__code__.co_filename).name}: " if hasattr(function, "__code__") else ""
            problem = f"{where}metric '{label}' fails with {type(error).__name__} ({error})"
            raise InputError(f"{problem} on the prompt {prompt.id}; mend it, then --redo eval") from error
        if number is None:
            continue
        if not isinstance(number, (bool, int, float)) or not math.isfinite(number):
            raise InputError(f"metric '{label}' returns {number!r} for the prompt {prompt.id}; return a number or None")
        found[prompt.id] = float(number)
    return found


def _win_rate(measured: Measured) -> Estimate:
    duel = measured.figures.get("win_rate_vs_previous") or {}
    rate = duel.get("rate")
    return Estimate(rate, Versus(duel["previous"], rate, 0.5) if rate else None)


def _score(measured: Measured) -> Estimate:
    """The mean score, compared by the share of prompts on which one judge scores this model's response higher."""
    duel = measured.figures.get("win_rate_vs_previous") or {}
    rate = (duel.get("by_score") or {}).get("rate")
    value = (measured.figures.get("judge_health") or {}).get("mean_score")
    return Estimate(value, Versus(duel["previous"], rate, 0.5) if rate else None)


def _checker(measured: Measured) -> Estimate:
    figures = measured.figures
    headline = figures.get("headline")
    change = (figures.get("differences") or {}).get(headline)
    value = (figures.get("measures") or {}).get(headline)
    return Estimate(value, Versus(figures["previous"], change) if change else None)


WIN_RATE = Metric(label="win rate against the model before", estimate=_win_rate, share=True)
SCORE = Metric(label="mean score", estimate=_score)
AGREEMENT = Metric(
    label="agreement with the seed's ranks (pairwise, ties half)",
    estimate=lambda measured: Estimate((measured.figures.get("agreement") or {}).get("pairwise_ties_half")),
    compare="own",
    share=True,
)
IFEVAL = Metric(
    label="IFEval (prompts, strictly)",
    estimate=lambda measured: Estimate((measured.figures.get("ifeval") or {}).get("prompt_strict")),
    compare="own",
    share=True,
)
PROMPT_BLINDNESS = Metric(
    label="prompt-blindness of the judge (its scores against those under other prompts, correlation)",
    estimate=lambda measured: Estimate((measured.figures.get("judge_health") or {}).get("prompt_blindness")),
    better="lower",
    compare="own",
)
CHECKER = Metric(label="ground truth by evaluation.checker", estimate=_checker, stage="checks", share=True)
