"""What got worse from one model to the next, clear of the intervals, beside score and win rate: single rules of
IFEval, groups of the prompts, measures of the user's own code, and metrics of plugins.

A whole can stand still while one part of it falls. Of the many parts of a whole it is asked that two intervals do not
overlap, which at 95% happens by chance in less than one of a hundred parts; of a metric, that the interval of the
difference leaves out 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from judgeloop.report.metrics import PLACED, value_in_words, versus_in_words
from judgeloop.report.wording import MIN_PROMPTS, difference, fallen, points

_SHOWN = 8


def evaluated_before(models: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """For each model the last one before it that was evaluated (evaluation.every leaves some out), None if none was."""
    found: list[dict[str, Any] | None] = []
    last = None
    for model in models:
        found.append(last)
        last = model if model["judge"]["name"] is not None or model.get("truth") is not None else last
    return found


def falls(model: Mapping[str, Any], previous: Mapping[str, Any] | None, *, headline: bool = True) -> list[str]:
    """One sentence for what got worse than the model before, with every part named; none if nothing did. `headline`:
    the ground truth's headline measure is named too."""
    if previous is None:
        return []
    truth = _measures(model, previous, headline=headline)
    found = [*truth, *(part for kind in (_groups, _rules, _metrics) for part in kind(model, previous))]
    if not found:
        return []
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return [f"worse than {previous['name']}, clear of the interval: {'; '.join(found[:_SHOWN])}{more}."]


def _groups(model: Mapping[str, Any], previous: Mapping[str, Any]) -> Iterator[str]:
    now, before = model.get("truth") or {}, previous.get("truth") or {}
    if now.get("measure") != before.get("measure") or now.get("group") != before.get("group"):
        return
    what = f"{now.get('measure')}, {now.get('group')} "
    yield from fallen(now.get("groups") or {}, before.get("groups") or {}, what)


def _measures(model: Mapping[str, Any], previous: Mapping[str, Any], *, headline: bool) -> Iterator[str]:
    """The measures of the user's own code, by the differences over the same prompts."""
    truth = model.get("truth") or {}
    if truth.get("previous") != previous["name"]:
        return
    for name, change in (truth.get("differences") or {}).items():
        counts = headline or name != truth.get("measure")
        if counts and change is not None and change["n"] >= MIN_PROMPTS and change["high"] < 0:
            yield f"{name} by {points(change)} points"


def _rules(model: Mapping[str, Any], previous: Mapping[str, Any]) -> Iterator[str]:
    def strict(of: Mapping[str, Any]) -> dict[str, Any]:
        kinds: Mapping[str, Any] = (of.get("ifeval") or {}).get("by_kind") or {}
        return {name: kind.get("strict") for name, kind in kinds.items()}

    yield from fallen(strict(model), strict(previous), "IFEval's ")


def _metrics(model: Mapping[str, Any], previous: Mapping[str, Any]) -> Iterator[str]:
    for name, metric in (model.get("metrics") or {}).items():
        then: Mapping[str, Any] = (previous.get("metrics") or {}).get(name) or {}
        if name in PLACED or not metric.get("value"):
            continue
        versus, own = metric.get("versus"), metric.get("compare") == "own"
        paired = versus is not None and versus["model"] == previous["name"]
        if paired and _worse(metric, versus["value"], [versus.get("even") or 0.0]):
            yield f"{metric['label']} {value_in_words(metric)}, {versus_in_words(metric)}"
        if own and then.get("value") and _worse(metric, difference(metric["value"], then["value"]), [0.0]):
            yield f"{metric['label']} {value_in_words(metric)}, was {value_in_words(then)}"


def _worse(metric: Mapping[str, Any], value: Mapping[str, Any], bounds: Sequence[float]) -> bool:
    if value["n"] < MIN_PROMPTS:
        return False
    return bool(value["low"] > max(bounds) if metric["better"] == "lower" else value["high"] < min(bounds))
