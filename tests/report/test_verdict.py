"""The report's first three sentences: no stronger than the decision and the intervals."""

from __future__ import annotations

from typing import Any

import pytest

from judgeloop.report.verdict import picture, verdict


def interval(value: float, spread: float = 0.05) -> dict[str, Any]:
    return {"value": value, "low": value - spread, "high": value + spread, "n": 200}


def model(name: str, truth: float | None = None, change: float | None = None) -> dict[str, Any]:
    measured = None
    if truth is not None:
        measured = {"measure": "passes", "value": interval(truth), "previous": "M1",
                    "difference": None if change is None else interval(change, 0.02)}  # fmt: skip
    metrics = {}
    if measured is not None:
        about = {"label": "ground truth", "better": "higher", "share": True}
        metrics["checker"] = {**about, "value": measured["value"], "versus": None}
    judge = {"name": name, "parse_rate": 1.0}
    length = {"mean_characters": 100.0}
    return {"name": name, "truth": measured, "win_rate_vs_previous": None, "agreement": None, "judge": judge,
            "metrics": metrics, "length": length}  # fmt: skip


def summary(best: str | None, rests: dict[str, Any] | None = None, warnings: tuple[str, ...] = ()) -> dict[str, Any]:
    decision = None
    if best is not None:
        decision = {"best": best, "why_best": f"{best} is it", "rests_on": rests, "stopped": False}
    return {
        "models": [model("M1", 0.4), model("M2", 0.5, 0.1)],
        "decision": decision,
        "warnings": [{"model": text[:2], "kind": "k", "text": text} for text in warnings],
    }


NO_GAIN = "M2 can be used, but no gain over M1 is shown: +10.0 (8.0 to 12.0) points."
SHOWN = "By your own code (passes), M2 is at 50% (45–55%), +10.0 (8.0 to 12.0) points against M1, clear of 0."
RESTS = {"model": "M2", "against": "M1", "basis": "+10.0 (8.0 to 12.0) points", "metric": "checker"}


@pytest.mark.parametrize(
    ("best", "rests", "first"),
    [
        ("M2", {**RESTS, "verdict": "better"}, "Use M2: M2 is it."),
        (
            "M2",
            {**RESTS, "verdict": "even"},
            NO_GAIN,
        ),
        (
            "M2",
            {**RESTS, "verdict": "unknown"},
            NO_GAIN,
        ),
        ("M1", {**RESTS, "verdict": "worse"}, "Use M1, not M2: M1 is it."),
        ("M2", None, "Use M2: M2 is it."),
        (None, None, "It is too early to say which model to use: the run has not decided yet."),
        ("M7", None, "It is too early to say which model to use: the run has not decided yet."),
    ],
)
def test_a_gain_that_is_not_shown_is_not_recommended(best: str | None, rests: Any, first: str) -> None:
    said = verdict(summary(best, rests))
    assert len(said) == 3
    assert said[0] == first
    assert said[1] == SHOWN


def test_the_third_sentence_is_the_first_warning_about_the_model() -> None:
    found = summary("M2", None, ("M1: old.", "M2: saturated.", "M2: longer."))
    assert verdict(found)[2] == "2 warnings, the first: M2: saturated."
    assert verdict(summary("M2", None, ("M2: longer.",)))[2] == "One warning: M2: longer."
    assert verdict(summary("M2", None, ("M1: old.",)))[2] == "No warning is raised about M2."


def test_the_picture_places_every_model_on_the_metrics_scale() -> None:
    truth, length = picture(summary("M2"))
    assert [(row["name"], row["best"]) for row in truth["rows"]] == [("M1", False), ("M2", True)]
    assert (truth["rows"][1]["low"], truth["rows"][1]["at"], truth["rows"][1]["high"]) == (45.0, 50.0, 55.0)
    assert truth["even"] is None
    assert length["rows"][0]["at"] == length["rows"][0]["low"] == 100.0
