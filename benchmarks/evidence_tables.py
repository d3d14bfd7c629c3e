"""What `evidence.py` shows: rows.jsonl and models.jsonl in, tables and plot out.

Intervals over prompts: bootstrap over prompts of the mean over seeds. Intervals over seeds: Student's t over the seeds'
means, where there are at least two seeds. Differences between models are paired, over the same prompts and seeds.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from scipy.stats import t as student

from evidence_arms import MAIN, PLAIN
from evidence_rows import read_measured
from judgeloop.evaluation.statistics import Interval, mean_interval

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "configs" / "verifiable"))

from verifiable_rules import HELD_OUT

# Measure → which rows it is over; each is a mean over the responses to a prompt.
MEASURES = ("passes", "passes on topic", "held-out rule", "finished", "tokens")


def cells(rows: Sequence[Mapping[str, Any]], measure: str) -> dict[tuple[str, str], dict[int, dict[str, float]]]:
    """(arm, model) → seed → prompt → mean over the responses."""
    found: dict[tuple[str, str], dict[int, dict[str, list[float]]]] = {}
    for row in rows:
        if (row["rule"] in HELD_OUT) != (measure == "held-out rule"):
            continue
        value = {
            "passes": row["passes"],
            "held-out rule": row["passes"],
            "passes on topic": row["passes on topic"],
            "finished": row["finished"],
            "tokens": row["tokens"],
        }[measure]
        seeds = found.setdefault((row["arm"], row["model"]), {})
        seeds.setdefault(row["seed"], {}).setdefault(row["prompt"], []).append(float(value))
    return {
        key: {seed: {p: statistics.mean(v) for p, v in prompts.items()} for seed, prompts in seeds.items()}
        for key, seeds in found.items()
    }


def over_prompts(seeds: Mapping[int, Mapping[str, float]]) -> Interval | None:
    """Bootstrap over prompts of the mean over seeds."""
    prompts = sorted(set.intersection(*(set(values) for values in seeds.values()))) if seeds else []
    return mean_interval([statistics.mean(values[p] for values in seeds.values()) for p in prompts], seed=0)


def over_seeds(means: Sequence[float]) -> Interval | None:
    """Student's interval of the mean over seeds; None with one seed."""
    if len(means) < 2:
        return None
    centre, spread = statistics.mean(means), statistics.stdev(means) / math.sqrt(len(means))
    half = float(student.ppf(0.975, len(means) - 1)) * spread
    return Interval(centre, centre - half, centre + half, len(means))


def difference(
    ours: Mapping[int, Mapping[str, float]], theirs: Mapping[int, Mapping[str, float]]
) -> dict[int, dict[str, float]]:
    """Paired differences, prompt by prompt, of the seeds that both have."""
    return {
        seed: {p: values[p] - theirs[seed][p] for p in values if p in theirs[seed]}
        for seed, values in ours.items()
        if seed in theirs
    }


def with_first_models(found: Mapping[tuple[str, str], Any], arms: Sequence[str], lender: str) -> dict[Any, Any]:
    """Arms that start from the M0 and M1 of the arm `lender` and have measured nothing of their own there are lent
    those of their seeds."""
    lent = dict(found)
    for arm in arms:
        seeds = {seed for (name, _), values in found.items() if name == arm for seed in values}
        for model in ("M0", "M1"):
            mine = {seed: values for seed, values in found.get((lender, model), {}).items() if seed in seeds}
            if (arm, model) not in lent and mine:
                lent[arm, model] = mine
    return lent


def text_of(interval: Interval | None, scale: float = 1.0, digits: int = 3, sign: bool = False) -> str:
    if interval is None:
        return "–"
    plus = "+" if sign else ""
    low, high = interval.low * scale, interval.high * scale
    return f"{interval.value * scale:{plus}.{digits}f} ({low:{plus}.{digits}f} to {high:{plus}.{digits}f})"


def show(out: Path, what: Callable[[str], str], against: str | None = None, only: Sequence[str] | None = None) -> None:
    """Print the tables in Markdown and draw `OUT/evidence.html` (the arms that have all seeds of the arm that they are
    set against). `what` says in words what an arm is. `only`: the arms to show; None: all."""
    try:
        rows, models = read_measured(out)
    except FileNotFoundError:
        print("nothing measured yet")
        return
    rows, models = ([row for row in found if only is None or row["arm"] in only] for found in (rows, models))
    order = sorted(dict.fromkeys(row["arm"] for row in rows), key=lambda arm: (arm not in (MAIN, PLAIN), arm))
    if against is not None and against not in order:
        raise SystemExit(f"--against {against}: is not among the arms measured, {', '.join(order)}")
    first = against or order[0]
    tables = {measure: cells(rows, measure) for measure in MEASURES}
    passing = tables["passes"]
    names = sorted(passing, key=lambda key: (order.index(key[0]), _number(key[1])))
    print("\n| arm | model | seeds | passes, over prompts | over seeds | against the model before | against M1 |"
          "\n|---|---|---|---|---|---|---|")  # fmt: skip
    lent = with_first_models(passing, order, first)
    for arm, model in names:
        seeds, number = passing[arm, model], _number(model)
        before, m1 = lent.get((arm, f"M{number - 1}")), lent.get((arm, "M1"))
        step = over_prompts(difference(seeds, before)) if before and number > 1 else None
        gain = over_prompts(difference(seeds, m1)) if m1 and number > 2 else None
        means = over_seeds([statistics.mean(values.values()) for values in seeds.values()])
        print(f"| {arm} | {model} | {len(seeds)} | {text_of(over_prompts(seeds))} | {text_of(means)} | "
              f"{text_of(step, 100, 1, True)} | {text_of(gain, 100, 1, True)} |")  # fmt: skip
    _print_measures(names, tables, models, judge_right(rows))
    _print_by_seed(names, passing)
    _print_by_seed(names, tables["held-out rule"], "the held-out rule, ")
    _print_right_by_seed(rows, names)
    _print_differences(names, lent, first)
    _print_differences(names, with_first_models(tables["held-out rule"], order, first), first, " on the held-out rule")
    _print_by_rule([row for row in rows if row["arm"] == first], first)
    draw(passing, order, what, out / "evidence.html", first)


def _number(model: str) -> int:
    return int(model[1:])


def _print_measures(
    names: Sequence[tuple[str, str]],
    tables: Mapping[str, Mapping[Any, Any]],
    models: Sequence[Mapping[str, Any]],
    own: Mapping[tuple[str, str], float],
) -> None:
    titles = [
        "arm", "model", "on topic too", "held-out rule", "finished", "tokens", "judge on fixed sets", "on own answers",
        "parse rate", "tie rate", "mean score", "openings", "pairs",
    ]  # fmt: skip
    print(f"\n| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for arm, model in names:
        mine = [row for row in models if (row["arm"], row["model"]) == (arm, model)]
        judge = [row["judge_accuracy"]["value"] for row in mine if row["judge_accuracy"]]
        score = [row["mean_score"]["value"] for row in mine if row["mean_score"]]
        pairs = [row["pairs"] for row in mine if row["pairs"] is not None]
        values = [over_prompts(tables[name].get((arm, model), {})) for name in MEASURES[1:]]
        shown = [f"{v.value:.3f}" if v and v.value <= 1 else f"{v.value:.1f}" if v else "–" for v in values]
        print(f"| {arm} | {model} | {' | '.join(shown)} | {_mean(judge)} | "
              f"{own.get((arm, model), math.nan):.3f} | {_mean([r['parse_rate'] for r in mine])} | "
              f"{_mean([r['tie_rate'] for r in mine if r['tie_rate'] is not None])} | {_mean(score, 2)} | "
              f"{_mean([r['distinct_openings'] for r in mine])} | {_mean(pairs, 0)} |")  # fmt: skip


def judge_right(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """(arm, model) → how often the judge scores the passing response higher (half for a tie), over all pairs of
    responses to one prompt of which one passes; seeds together."""
    found: dict[tuple[str, str, int, str], tuple[list[float], list[float]]] = {}
    for row in rows:
        if row["score"] is not None:
            key = (row["arm"], row["model"], row["seed"], row["prompt"])
            found.setdefault(key, ([], []))[not row["passes"]].append(row["score"])
    pairs: dict[tuple[str, str], list[float]] = {}
    for (arm, model, _, _), (good, bad) in found.items():
        pairs.setdefault((arm, model), []).extend((g > b) + 0.5 * (g == b) for g in good for b in bad)
    return {key: statistics.mean(values) for key, values in pairs.items() if values}


def _print_by_rule(rows: Sequence[Mapping[str, Any]], arm: str) -> None:
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        found.setdefault((row["rule"], row["model"]), []).append(row["passes"])
    names = sorted({model for _, model in found}, key=_number)
    print(f"\n| rule, {arm} | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for rule in sorted({rule for rule, _ in found}, key=lambda rule: (rule in HELD_OUT, rule)):
        held_out = " (held out)" if rule in HELD_OUT else ""
        print(f"| {rule}{held_out} | {' | '.join(_mean(found.get((rule, name), []), 2) for name in names)} |")


def _print_by_seed(names: Sequence[tuple[str, str]], passing: Mapping[tuple[str, str], Any], measure: str = "") -> None:
    seeds = sorted({seed for values in passing.values() for seed in values})
    if len(seeds) < 2:
        return
    titles = " | ".join(f"{measure}seed {seed}" for seed in seeds)
    print(f"\n| arm | model | {titles} |\n|---|---|{'---|' * len(seeds)}")
    for arm, model in names:
        found = [passing[arm, model].get(seed) for seed in seeds]
        print(f"| {arm} | {model} | " + " | ".join(text_of(over_prompts({0: v})) if v else "–" for v in found) + " |")


def _print_right_by_seed(rows: Sequence[Mapping[str, Any]], names: Sequence[tuple[str, str]]) -> None:
    """The judge on its own answers; together they stand in the table of measures."""
    seeds = sorted({row["seed"] for row in rows})
    found = {seed: judge_right([row for row in rows if row["seed"] == seed]) for seed in seeds}
    print("\n| arm | model | " + " | ".join(f"judge right, seed {seed}" for seed in seeds) + " |"
          "\n|---|---|" + "---|" * len(seeds))  # fmt: skip
    for name in names:
        print(
            f"| {' | '.join(name)} | {' | '.join(_mean([found[s][name]] if name in found[s] else []) for s in seeds)} |"
        )


def _print_differences(
    names: Sequence[tuple[str, str]], passing: Mapping[tuple[str, str], Any], first: str, where: str = ""
) -> None:
    """Points between models of one arm, and between the arm `first` and others: seed by seed and together, paired over
    prompts."""
    compared = [
        ((arm, model), (arm, f"M{before}"))
        for arm, model in names
        for before in sorted({1, _number(model) - 1})
        if 1 <= before < _number(model)
    ]
    compared += [((first, model), (arm, model)) for arm, model in names if arm != first and _number(model) > 1]
    print(
        f"\n| difference in points{where} | seeds | over prompts | over seeds | seed by seed |\n|---|---|---|---|---|"
    )
    for ours, theirs in compared:
        if ours in passing and theirs in passing:
            found = difference(passing[ours], passing[theirs])
            means = over_seeds([statistics.mean(values.values()) for values in found.values()])
            each = "; ".join(
                f"{seed}: {text_of(over_prompts({0: values}), 100, 1, True)}" for seed, values in sorted(found.items())
            )
            together = text_of(over_prompts(found), 100, 1, True)
            print(f"| {' '.join(ours)} − {' '.join(theirs)} | {len(found)} | {together} | "
                  f"{text_of(means, 100, 1, True)} | {each} |")  # fmt: skip


def _mean(values: Sequence[float], digits: int = 3) -> str:
    return f"{statistics.mean(values):.{digits}f}" if values else "–"


def draw(
    passing: Mapping[tuple[str, str], Mapping[int, Mapping[str, float]]],
    order: Sequence[str],
    what: Callable[[str], str],
    path: Path,
    first: str = MAIN,
) -> None:
    """Pass rate of the models that were made with every seed (means over different seeds are no line), one line an arm,
    with 95% intervals over prompts; and the seeds of the arm `first` one by one, which tell more than a mean of
    three."""
    import plotly.graph_objects as go
    from plotly.colors import qualitative

    every = {seed for (arm, _), seeds in passing.items() if arm == first for seed in seeds}
    whole = [arm for arm in order if any(set(v) >= every for (name, _), v in passing.items() if name == arm)]
    lent = with_first_models(passing, whole, first)
    figure = go.Figure()
    for number, arm in enumerate(whole):
        points = [
            (model, interval)
            for model in sorted({model for name, model in lent if name == arm}, key=_number)
            if model == "M0" or set(lent[arm, model]) >= every
            if (interval := over_prompts(lent[arm, model])) is not None
        ]
        figure.add_scatter(
            x=[int(model[1:]) + 0.02 * (number - len(whole) / 2) for model, _ in points],
            y=[interval.value for _, interval in points],
            error_y={
                "type": "data", "symmetric": False, "thickness": 1,
                "array": [interval.high - interval.value for _, interval in points],
                "arrayminus": [interval.value - interval.low for _, interval in points],
            },
            mode="lines+markers", name="<br>".join(wrap(f"{arm}: {what(arm)}", 120)),
            line={"width": 4 if arm == first else 1.5},
        )  # fmt: skip
    shade = qualitative.D3[whole.index(first) % len(qualitative.D3)]  # the template's colour of its line
    mine = {_number(model): seeds for (arm, model), seeds in passing.items() if arm == first and model != "M0"}
    ran_by = {
        seed: sorted(t for t, seeds in mine.items() if seed in seeds) for seeds in mine.values() for seed in seeds
    }
    ends = {seed: statistics.mean(mine[ran[-1]][seed].values()) for seed, ran in ran_by.items()}
    above: dict[int, float] = {}  # the topmost label after each model
    for seed in sorted(ends, key=ends.__getitem__):
        ran = ran_by[seed]
        above[ran[-1]] = max(ends[seed], above.get(ran[-1], 0) + 0.045)  # labels keep apart
        figure.add_scatter(
            x=ran, y=[statistics.mean(mine[t][seed].values()) for t in ran], mode="lines", showlegend=False,
            line={"width": 1, "dash": "dot", "color": shade}, opacity=0.7,
        )  # fmt: skip
        figure.add_annotation(
            x=ran[-1], y=above[ran[-1]], text=f"seed {seed}", showarrow=False,
            xanchor="left", xshift=6, font={"size": 11, "color": shade},
        )  # fmt: skip
    last = max(_number(model) for _, model in lent)
    figure.update_layout(
        template="simple_white", width=900, height=560, legend={"orientation": "h", "y": -0.15},
        title="Responses that keep their rule: held-out prompts, checked by code that the loop never sees",
        xaxis={"tickvals": list(range(last + 1)), "ticktext": [f"M{t}" for t in range(last + 1)]},
        yaxis={"title": {"text": "pass rate"}, "tickformat": ".0%", "rangemode": "tozero"},
    )  # fmt: skip
    figure.write_html(str(path), include_plotlyjs=True, config={"displayModeBar": False})
