"""A run at a glance: its summary as the report has it, plots, stages with their times."""

from __future__ import annotations

from typing import Any

from judgeloop.report.concerns import headline
from judgeloop.report.metrics import headline_metrics
from judgeloop.report.summary import listed, summary_of, with_damage
from judgeloop.report.wording import number, percent
from judgeloop.viewer.charts import bars, intervals, lines
from judgeloop.viewer.run_view import RunView


def overview(view: RunView) -> dict[str, Any]:
    """The summary (`report.summary`) with `listed` (the models of the table), `headline`, `plots`, `stages`,
    `curves`, and `live`."""
    files = view.files()
    summary = summary_of(files)
    models = summary["models"]
    plots = [
        intervals([(name, part["value"]) for name, part in metric["of"].items()], str(metric["label"]))
        for metric in headline_metrics(models)
    ]
    stages = [
        (f"{model['name']} · {model['stage_titles'].get(stage, stage)}", seconds)
        for model in models
        for stage, seconds in model["seconds"].items()
    ]
    total = sum(seconds for _, seconds in stages)
    losses = curves(view)
    return {
        **with_damage(summary, files),
        "listed": listed(models),
        "key": view.key,
        "name": view.name,
        "live": view.live(),
        "started": files.run.get("started"),
        "seed": files.run.get("seed"),
        "base": files.config().get("model"),
        "headline": headline(summary),
        "plots": [plot for plot in plots if plot],
        "seconds": total,
        "stages": bars(
            [(name, seconds / max(1e-9, *(s for _, s in stages)), _time(seconds, total)) for name, seconds in stages],
            "Time of each stage",
        ),
        "curves": [plot for name, plot in sorted((n, lines(s, n)) for n, s in losses.items()) if plot],
    }


def curves(view: RunView, only: tuple[str, ...] = ("loss", "reward_accuracy", "reward_margin")
           ) -> dict[str, dict[str, list[tuple[float, float]]]]:  # fmt: skip
    """Metric → training ("M2/train") → (step, value)."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in view.files().rows("metrics.jsonl"):
        step = row.get("step")
        for key in only:
            value = row.get(key)
            if isinstance(step, (int, float)) and isinstance(value, (int, float)):
                name = f"{row.get('model')}/{row.get('stage')}"
                found.setdefault(key.replace("_", " "), {}).setdefault(name, []).append((float(step), float(value)))
    return found


def _time(seconds: float, total: float) -> str:
    from judgeloop.report.wording import duration

    return f"{duration(seconds)} ({percent(seconds / total) if total else number(0, 0)})"
