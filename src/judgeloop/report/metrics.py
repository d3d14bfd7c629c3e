"""Metrics as they explain themselves in eval.json and checks.json, model by model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from judgeloop.report.wording import interval, number, points, signed

# These have a place of their own in table, plots and terminal.
PLACED = ("win_rate", "score", "agreement", "checker")


def further_metrics(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The other metrics that have a value, in the order in which they were measured: `{"name", "label", "better",
    "share", "of": {model: its part of the block}}`."""
    return _metrics(models, dict.fromkeys(name for m in models for name in m["metrics"] if name not in PLACED))


def headline_metrics(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What to look at first, in the form of `further_metrics`: ground truth, or the win rate if there is none;
    agreement; and the length of the responses."""
    truth = _metrics(models, ["checker"])
    return [*(truth or _metrics(models, ["win_rate"])), *_metrics(models, ["agreement"]), *_length(models)]


def _length(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The length as a metric; an evaluation that an earlier version made has no interval of it."""
    of = {
        m["name"]: {"value": m["length"].get("mean_characters_interval") or {"value": mean, "n": None}, "digits": 0}
        for m in models
        if (mean := m["length"]["mean_characters"]) is not None
    }
    about = {"name": "length", "label": "length of the responses in characters", "share": False}
    return [{**about, "of": of}] if of else []


def _metrics(models: Sequence[Mapping[str, Any]], names: Iterable[str]) -> list[dict[str, Any]]:
    found = []
    for name in names:
        of = {m["name"]: m["metrics"][name] for m in models if (m["metrics"].get(name) or {}).get("value")}
        if of:
            last = list(of.values())[-1]
            about = {key: last.get(key) for key in ("label", "better", "share")}
            found.append({"name": name, **about, "of": of})
    return found


def value_in_words(metric: Mapping[str, Any]) -> str:
    """A model's value with its interval, if it has one."""
    value, digits = metric["value"], metric.get("digits", 2)
    if value["n"] is None:
        return number(value["value"], digits)
    return interval(value, digits=digits, as_percent=bool(metric.get("share")))


def versus_in_words(metric: Mapping[str, Any]) -> str | None:
    """The paired comparison with the model before, if there is one: "−12.0 (−20.0 to −4.0) vs M1"."""
    versus = metric.get("versus")
    if versus is None:
        return None
    value = versus["value"]
    if versus.get("even"):
        said = interval(value, as_percent=True)
    elif metric.get("share"):
        said = points(value)
    else:
        said = f"{signed(value['value'])} ({number(value['low'])} to {number(value['high'])})"
    return f"{said} vs {versus['model']}"


def scale(metric: Mapping[str, Any]) -> tuple[float, float]:
    """From 0, or the lowest end below it, to 1 for shares, else to a round number above the highest end."""
    values = [found["value"] for found in metric["of"].values()]
    low = min(0.0, *(value.get("low", value["value"]) for value in values))
    high = max(value.get("high", value["value"]) for value in values)
    if metric["share"]:
        return low, max(1.0, high)
    step = 10.0 ** math.floor(math.log10(high)) if high > 0 else 1.0
    return low, max(step, next(step * k / 5 for k in range(5, 51) if step * k / 5 >= high) if high > 0 else step)
