"""The plots, as plotly figure specifications: plain data, drawn by the inlined plotly.js in the page's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from judgeloop.report.creation import diversity_columns
from judgeloop.report.curves import chosen_likelihood, loss_curves, preference_curves
from judgeloop.report.metrics import further_metrics
from judgeloop.report.plotting import (
    BLUE,
    CYCLE,
    GREY,
    PATTERNS,
    VERMILION,
    Figure,
    colour,
    figure,
    label,
    model_axis,
    points,
)
from judgeloop.report.wording import judge_name

AGREEMENT_LABELS = {
    "pairwise_ties_half": "pairwise, ties half",
    "pairwise_ties_wrong": "pairwise, ties wrong",
    "five_best": "5-best",
    "exact_match": "exact match",
    "spearman": "Spearman ρ",
    "kendall": "Kendall τ-b",
}


def figures(models: Sequence[dict[str, Any]], metrics: Iterable[dict[str, Any]], loss: str | None) -> list[Figure]:
    """All plots in the order shown: `{"id", "title", "note", "data", "layout"}`; no `data` if there is none yet.
    `loss` is the run's train.loss."""
    rows = list(metrics)
    return [
        score_histogram(models),
        score_and_length(models),
        *([truth_and_score(models)] if any(m["truth"] for m in models) else []),
        win_tie_lose(models),
        agreement_over_models(models),
        *(metric_over_models(models, metric, k) for k, metric in enumerate(further_metrics(models))),
        loss_curves(rows, "sft", "Supervised training (M1)", "Loss on target tokens."),
        preference_curves(rows, loss),
        *([chosen_likelihood(rows)] if any("chosen_change" in row for row in rows) else []),
        *([blindness_over_models(models)] if any(_blindness(m) for m in models) else []),
        prompt_lengths(models),
        prompt_openings(models),
        seconds_by_stage(models),
    ]


def score_histogram(models: Sequence[dict[str, Any]]) -> Figure:
    data: list[dict[str, Any]] = []
    for index, model in enumerate(models):
        counts = model["judge"]["histogram"]
        if not counts or not sum(counts):
            continue
        total, lowest = sum(counts), (model["judge"].get("scale") or (0,))[0]
        data.append(
            {
                "type": "bar", "name": label(model["name"]), "x": [lowest + k for k in range(len(counts))],
                "y": [count / total for count in counts], "customdata": counts, "marker": {"color": colour(index)},
                "hovertemplate": "score %{x}: %{y:.0%} (%{customdata} responses)",
            }
        )  # fmt: skip
    layout = {
        "barmode": "group",
        "xaxis": {"title": {"text": "score"}, "dtick": 1},
        "yaxis": {"title": {"text": "share of responses"}, "tickformat": ".0%", "rangemode": "tozero"},
    }
    note = "Scores of the held-out responses, fractions to the nearest score. A pile at one score gives no pairs."
    return figure("scores", "Judge scores by model", note, data, layout)


def score_and_length(models: Sequence[dict[str, Any]]) -> Figure:
    scored = [m for m in models if m["judge"]["mean_score_interval"] is not None]
    sized = [m for m in models if m["length"]["mean_characters"] is not None]
    data: list[dict[str, Any]] = []
    if scored:
        data.append(
            points([m["judge"]["mean_score_interval"] for m in scored], [m["name"] for m in scored], "score", 0)
        )
    if sized:
        data.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": "characters", "xaxis": "x", "yaxis": "y2",
                "x": [label(m["name"]) for m in sized], "y": [m["length"]["mean_characters"] for m in sized],
                "marker": {"color": VERMILION, "symbol": "square", "size": 9}, "line": {"color": VERMILION},
                "hovertemplate": "%{x}: %{y:.0f} characters",
            }
        )  # fmt: skip
    layout = {
        "showlegend": False,
        "xaxis": {"anchor": "y2", **model_axis(models)},
        "yaxis": {"domain": [0.56, 1], "title": {"text": "mean score"}},
        "yaxis2": {"domain": [0, 0.44], "title": {"text": "characters"}, "rangemode": "tozero"},
    }
    note = "Score above, response length below. A score that rises together with length may be bought by length."
    return figure("length", "Mean score and response length", note, data, layout)


def truth_and_score(models: Sequence[dict[str, Any]]) -> Figure:
    checked = [m for m in models if m["truth"] and m["truth"]["value"] is not None]
    scored = [m for m in models if m["judge"]["mean_score_interval"] is not None]
    measure = label(checked[0]["truth"]["measure"] if checked else "truth")
    data: list[dict[str, Any]] = []
    if checked:
        data.append(points([m["truth"]["value"] for m in checked], [m["name"] for m in checked], measure, 2))
    if scored:
        score = points([m["judge"]["mean_score_interval"] for m in scored], [m["name"] for m in scored], "score", 0)
        data.append({**score, "yaxis": "y2"})
    layout = {
        "showlegend": False,
        "xaxis": {"anchor": "y2", **model_axis(models)},
        "yaxis": {"domain": [0.56, 1], "title": {"text": measure}, "tickformat": ".0%"},
        "yaxis2": {"domain": [0, 0.44], "title": {"text": "judge's mean score"}},
    }
    note = "What your own code measures above, what the judge believes below. Score without truth is reward hacking."
    return figure("truth", "Ground truth and the judge's score", note, data, layout)


def win_tie_lose(models: Sequence[dict[str, Any]]) -> Figure:
    judged = [m for m in models if m["win_rate_vs_previous"]]
    names = [label(f"{m['name']} against {m['win_rate_vs_previous']['previous']}") for m in judged]
    totals = [max(1, sum(m["win_rate_vs_previous"][k] for k in ("win", "tie", "lose", "unparsed"))) for m in judged]
    data: list[dict[str, Any]] = []
    for key, shade in (("win", BLUE), ("tie", "#B8B8B8"), ("lose", VERMILION), ("unparsed", "#5E5E5E")):
        counts = [m["win_rate_vs_previous"][key] for m in judged]
        if not any(counts):
            continue
        shares = [count / total for count, total in zip(counts, totals, strict=True)]
        data.append(
            {
                "type": "bar", "orientation": "h", "name": key, "y": names, "x": shares, "customdata": counts,
                "marker": {"color": shade}, "text": [f"{share:.0%}" if share >= 0.06 else "" for share in shares],
                "textposition": "inside", "insidetextanchor": "middle", "textangle": 0,
                "insidetextfont": {"color": "#111111" if key == "tie" else "#ffffff"},
                "hovertemplate": key + ": %{x:.0%} (%{customdata} prompts)",
            }
        )  # fmt: skip
    layout = {
        "barmode": "stack",
        "xaxis": {"tickformat": ".0%", "range": [0, 1.02], "dtick": 0.25},
        "yaxis": {"autorange": "reversed", "automargin": True},
        "legend": {"traceorder": "normal"},
    }
    return figure("wins", "Win, tie, lose against the previous model", _how_compared(judged), data, layout)


def _how_compared(judged: Sequence[dict[str, Any]]) -> str:
    """How the judges of these comparisons were asked, and who they are."""
    by = {m["win_rate_vs_previous"].get("by", "pairwise") for m in judged}
    ways = {
        "pairwise": "Both orders are judged; a judge that contradicts itself makes a tie.",
        "scores": "Each response is scored by itself: the higher score wins, equal scores are a tie.",
        "contrasts": "Each response is scored by itself and set against what it gets under other prompts.",
    }
    said = [text for way, text in ways.items() if way in by]
    names = {m["name"]: m["judge"]["name"] for m in judged if m["judge"]["name"]}
    if names and all(judge == name for name, judge in names.items()):
        said.append("Each model is judged by itself.")
    elif names:
        who = "; ".join(f"{name} by {judge_name(judge, name)}" for name, judge in names.items())
        said.append(f"Judged: {who}.")
    return " ".join(said)


def agreement_over_models(models: Sequence[dict[str, Any]]) -> Figure:
    shown = ("pairwise_ties_half", "spearman", "kendall", "exact_match", "five_best")
    data: list[dict[str, Any]] = []
    for index, metric in enumerate(shown):
        found = [(m["name"], m["agreement"][metric]) for m in models if (m["agreement"] or {}).get(metric)]
        if found:
            trace = points([value for _, value in found], [name for name, _ in found], AGREEMENT_LABELS[metric], index)
            data.append({**trace, "offsetgroup": metric, "mode": "markers"})
    layout = {
        "scattermode": "group",
        "xaxis": model_axis(models),
        "yaxis": {"zeroline": True},
        "shapes": [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0.5, "y1": 0.5,
             "line": {"dash": "dot", "width": 1, "color": GREY}}
        ],
    }  # fmt: skip
    note = "95% intervals over prompts. Chance is 0.5 for pairwise (dotted line) and 0 for Spearman and Kendall."
    return figure("agreement", "Agreement with the ranks of the seed", note, data, layout)


def metric_over_models(models: Sequence[dict[str, Any]], metric: dict[str, Any], number: int) -> Figure:
    of = metric["of"]
    data = [points([m["value"] for m in of.values()], list(of), label(metric["label"]), number)]
    layout = {
        "showlegend": False,
        "xaxis": model_axis(models),
        "yaxis": {"tickformat": ".0%" if metric["share"] else ""},
    }
    note = f"{metric['better']} is better; 95% intervals.".capitalize()
    return figure(f"metric-{number}", str(metric["label"]), note, data, layout)


def _blindness(model: dict[str, Any]) -> Any:
    return (model["loop_judge"] or {}).get("prompt_blindness")


def blindness_over_models(models: Sequence[dict[str, Any]]) -> Figure:
    """How blind to the prompt the judge of each model's candidates was."""
    found = [(m["name"], _blindness(m)) for m in models if _blindness(m)]
    data = [points([value for _, value in found], [name for name, _ in found], "correlation", 3)]
    layout = {"showlegend": False, "xaxis": model_axis(models), "yaxis": {"title": {"text": "correlation"}}}
    note = (
        "Scores of a model's candidates against those they get under other prompts: 1 is a judge that reads no prompt."
    )
    return figure("prompt-blindness", "Prompt-blindness of the judge", note, data, layout)


def prompt_lengths(models: Sequence[dict[str, Any]]) -> Figure:
    columns = diversity_columns(models)
    bins: list[int] = next((m["diversity"]["bins"] for m in models if m["diversity"]), [])
    labels = [str(low) if high == low + 1 else f"{low}–{high - 1}" for low, high in pairwise(bins)]
    labels += [f"{low}+" for low in bins[-1:]]
    data = [
        {
            "type": "bar", "name": label(name), "x": labels, "customdata": found["lengths"],
            "y": [count / max(1, sum(found["lengths"])) for count in found["lengths"]],
            "marker": {"color": _set_colour(models, name)},
            "hovertemplate": "%{x} words: %{y:.0%} (%{customdata} prompts)",
        }
        for name, found in columns if found["lengths"]
    ]  # fmt: skip
    layout = {
        "barmode": "group",
        "xaxis": {"title": {"text": "words (characters in Chinese, …)"}, "type": "category"},
        "yaxis": {"title": {"text": "share of prompts"}, "tickformat": ".0%", "rangemode": "tozero"},
    }
    return figure("prompt-lengths", "Length of prompts", "Of the seed and of each iteration's new ones.", data, layout)


def prompt_openings(models: Sequence[dict[str, Any]]) -> Figure:
    columns = diversity_columns(models)
    tops = {name: dict(found["openings"]["top"]) for name, found in columns}
    words = list(dict.fromkeys(word for top in tops.values() for word in list(top)[:6]))
    words.sort(key=lambda word: -max(top.get(word, 0) for top in tops.values()))
    data = [
        {
            "type": "bar", "orientation": "h", "name": label(name), "y": [label(word) for word in words],
            "x": [top.get(word) for word in words],
            "marker": {"color": _set_colour(models, name)},
            "hovertemplate": "%{y}: %{x:.0%}",
        }
        for name, top in tops.items() if top
    ]  # fmt: skip
    layout = {
        "barmode": "group",
        "xaxis": {"title": {"text": "share of prompts"}, "tickformat": ".0%", "rangemode": "tozero"},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True},
        "legend": {"traceorder": "normal"},
    }
    note = "The most frequent first words. A word without a bar is not among that set's ten most frequent."
    return figure("prompt-openings", "How prompts begin", note, data, layout)


def _set_colour(models: Sequence[dict[str, Any]], name: str) -> str:
    """Grey for the seed; a model's prompts have the colour that the model has elsewhere."""
    return GREY if name == "seed" else colour([m["name"] for m in models].index(name))


def seconds_by_stage(models: Sequence[dict[str, Any]]) -> Figure:
    timed = [m for m in models if m["seconds"]]
    titles = {stage: title for m in timed for stage, title in m["stage_titles"].items()}
    data = [
        {
            "type": "bar", "orientation": "h", "name": label(stage), "y": [label(m["name"]) for m in timed],
            "x": [m["seconds"].get(stage, 0) for m in timed],
            "marker": {"color": colour(k), "pattern": {"shape": PATTERNS[k // len(CYCLE) % len(PATTERNS)]}},
            "hovertemplate": label(titles[stage]) + ": %{x:.1f} s",
        }
        for k, stage in enumerate(_stages_in_order(timed))
    ]  # fmt: skip
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "seconds"}},
        "yaxis": {"autorange": "reversed", "type": "category"},
        "legend": {"traceorder": "normal"},
    }
    return figure("seconds", "Where the time went", "Wall time of the finished stages.", data, layout)


def _stages_in_order(models: Sequence[dict[str, Any]]) -> list[str]:
    """All stages, each where it comes in the making of the models: evaluation, which ends each, is the last."""
    places: dict[str, float] = {}
    for model in models:
        stages = list(model["seconds"])
        for k, stage in enumerate(stages, 1):
            places[stage] = max(places.get(stage, 0.0), k / len(stages))
    return sorted(places, key=lambda stage: places[stage])
