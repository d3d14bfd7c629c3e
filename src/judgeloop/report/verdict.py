"""What a reader wants to know first: whether to use the model, what shows it, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from judgeloop.report.concerns import ranks_said, truth_said, versus_said
from judgeloop.report.metrics import headline_metrics, scale, value_in_words
from judgeloop.report.truth import CHANCE


def verdict(summary: Mapping[str, Any]) -> list[str]:
    """Three sentences, no stronger than decision.json and the intervals: which model to use, what shows that, and the
    first warning about it, or how far its judge can be believed."""
    decision = summary.get("decision")
    by_name = {model["name"]: model for model in summary["models"]}
    if decision is None or decision["best"] not in by_name:
        return [
            "It is too early to say which model to use: the run has not decided yet.",
            _first(by_name.values()) or "No model has been evaluated yet.",
            _doubt(summary["warnings"], None) or "No warning has been raised so far.",
        ]
    best = str(decision["best"])
    rests = decision.get("rests_on") or {}
    compared = by_name.get(rests.get("model", best), by_name[best])
    shows = _first([compared]) or f"No comparison of {compared['name']} with another model was measured."
    doubt = _doubt(summary["warnings"], best) or ranks_said(by_name[best]) or f"No warning is raised about {best}."
    return [_use(best, str(decision["why_best"]), rests), shows, doubt]


def _use(best: str, why: str, rests: Mapping[str, Any]) -> str:
    """The first sentence: a model that no comparison bears out is not recommended."""
    found = rests.get("verdict")
    if rests and rests["model"] != best:
        return f"Use {best}, not {rests['model']}: {why}."
    if found in ("even", "unknown"):
        return f"{best} can be used, but no gain over {rests['against']} is shown: {rests['basis']}."
    return f"Use {best}: {why}."


def _first(models: Any) -> str | None:
    """What the last of the models that were compared shows: by the user's own code, else by the judge."""
    for model in reversed(list(models)):
        if said := truth_said(model) or versus_said(model):
            return said
    return None


def _doubt(warnings: Sequence[Mapping[str, Any]], model: str | None) -> str | None:
    """The first of the warnings, about the model if one is named, and how many more there are."""
    found = [warning["text"] for warning in warnings if model is None or warning["model"] in (model, None)]
    if not found:
        return None
    if len(found) == 1:
        return f"One warning: {found[0]}"
    return f"{len(found)} warnings, the first: {found[0]}"


def picture(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metrics to look at first, as bars on a scale: `{"label", "rows", "marks", "even"}`, a row `{"name", "best",
    "low", "at", "high", "words"}` with places from 0 to 100 on the scale."""
    best = (summary.get("decision") or {}).get("best")
    panels = []
    for metric in headline_metrics(summary["models"]):
        low, high = scale(metric)

        def place(value: float, low: float = low, high: float = high) -> float:
            return round(100 * (value - low) / (high - low), 2)

        rows = [
            {
                "name": name, "best": name == best, "words": value_in_words(found),
                "at": place(found["value"]["value"]),
                **{end: place(found["value"].get(end, found["value"]["value"])) for end in ("low", "high")},
            }
            for name, found in metric["of"].items()
        ]  # fmt: skip
        marks = [low + k * (high - low) / 4 for k in range(5)]
        even = place(CHANCE) if metric["name"] in ("win_rate", "agreement") else None
        panels.append({"label": metric["label"], "share": metric["share"], "rows": rows, "marks": marks, "even": even})
    return panels
