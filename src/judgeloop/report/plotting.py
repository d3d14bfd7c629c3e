"""What the plots share: colours, marks, and the parts that plotly wants of each."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

Figure = dict[str, Any]

# Okabe and Ito's palette, told apart with every common colour blindness.
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8C8C8C",
)  # fmt: skip
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GREY)
PATTERNS = ("", "/", "x", ".")  # for the second, third, … round of the colours
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def colour(index: int) -> str:
    return CYCLE[index % len(CYCLE)]


def label(name: object) -> str:
    """Text for plotly, which reads a little HTML in labels."""
    return escape(str(name))


def points(values: Sequence[dict[str, Any]], names: Sequence[str], name: str, index: int) -> dict[str, Any]:
    """One point a model with the interval as its error bar."""
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "x": [label(model) for model in names],
        "y": [v["value"] for v in values],
        "error_y": {
            "type": "data", "symmetric": False, "array": [v["high"] - v["value"] for v in values],
            "arrayminus": [v["value"] - v["low"] for v in values], "thickness": 1.5, "width": 4,
        },
        "customdata": [[v["low"], v["high"], v["n"]] for v in values],
        "marker": {"color": colour(index), "symbol": MARKS[index % len(MARKS)], "size": 9},
        "line": {"color": colour(index)},
        "hovertemplate": "%{x}: %{y:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f}, n = %{customdata[2]})",
    }  # fmt: skip


def model_axis(models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = [label(m["name"]) for m in models]
    return {"type": "category", "categoryorder": "array", "categoryarray": names}


def figure(name: str, title: str, note: str, data: list[dict[str, Any]], layout: dict[str, Any]) -> Figure:
    return {"id": name, "title": title, "note": note, "data": data, "layout": layout}
