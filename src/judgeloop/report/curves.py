"""What a training's steps say, one curve a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from judgeloop.report.plotting import GREY, MARKS, Figure, colour, figure, label


def preference_curves(rows: Sequence[dict[str, Any]], loss: str | None) -> Figure:
    """The preference loss by step. DPO's starts at ln 2, where policy and reference are equal; no other loss is
    compared with that value."""
    note = f"Loss: {loss}." if loss else "Loss of each step."
    if loss != "dpo":
        return loss_curves(rows, "train", "Preference training", note)
    note = "DPO loss. The dotted line is ln 2, where policy and reference are equal."
    found = loss_curves(rows, "train", "Preference training", note)
    found["layout"]["shapes"] = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": math.log(2), "y1": math.log(2),
         "line": {"dash": "dot", "width": 1, "color": GREY}}
    ]  # fmt: skip
    return found


def loss_curves(rows: Sequence[dict[str, Any]], stage: str, title: str, note: str) -> Figure:
    """One curve per model; the preference loss alone if the trained loss has more terms."""
    curves: dict[str, dict[int, float | None]] = {}
    for row in rows:
        step, loss = row.get("step"), row.get("dpo_loss", row.get("preference_loss", row.get("loss")))
        if row.get("stage") == stage and isinstance(step, (int, float)) and isinstance(loss, (int, float)):
            # A stage that was resumed may have written a step twice: the later row is the one that counts.
            curves.setdefault(str(row.get("model")), {})[int(step)] = _finite(loss)
    data: list[dict[str, Any]] = []
    for name in sorted(curves):
        index = int(name[1:]) if name[1:].isdigit() else len(data)
        steps = sorted(curves[name])
        data.append(
            {
                "type": "scatter", "mode": "lines+markers" if len(steps) <= 60 else "lines", "name": label(name),
                "x": steps, "y": [curves[name][step] for step in steps], "line": {"color": colour(index), "width": 2},
                "marker": {"size": 5, "symbol": MARKS[index % len(MARKS)]}, "hovertemplate": "step %{x}: %{y:.4f}",
            }
        )  # fmt: skip
    layout: dict[str, Any] = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": "loss"}}}
    return figure(f"loss-{stage}", title, note, data, layout)


def chosen_likelihood(rows: Sequence[dict[str, Any]]) -> Figure:
    """Log π/π_ref of the chosen answers by step."""
    shown = [{**row, "loss": row["chosen_change"], "dpo_loss": row["chosen_change"]} for row in rows
             if isinstance(row.get("chosen_change"), (int, float))]  # fmt: skip
    note = "Log-probability against the reference, nats a response. Below 0 training makes chosen answers less likely."
    found = loss_curves(shown, "train", "Likelihood of the chosen answers", note)
    found["layout"]["yaxis"]["title"]["text"] = "nats a response"
    return {**found, "id": "chosen-likelihood"}


def _finite(value: float) -> float | None:
    """A loss that is not a number leaves a gap in its curve."""
    return float(value) if math.isfinite(value) else None
