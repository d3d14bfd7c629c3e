"""What `evidence.py` measures of each run, and how it is shown: rows.jsonl and models.jsonl in, tables and plot out.

Intervals over prompts: bootstrap over prompts of the mean over seeds. Intervals over seeds: Student's t over the seeds'
means, where there are at least two seeds. Differences between models are paired, over the same prompts and seeds.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from judgeloop.evaluation.statistics import Interval, mean_interval
from judgeloop.jsonl import RowLog, read_objects, read_rows
from judgeloop.records import Candidate, Judgement, Prompt
from judgeloop.run.json_artifacts import read_json

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "configs" / "verifiable"))

from verifiable_rules import HELD_OUT

Measured = tuple[str, int, str]  # arm, seed, model

MAIN = "main"
# Measure → which rows it is over; each is a mean over the responses to a prompt.
MEASURES = ("passes", "passes on topic", "held-out rule", "finished", "tokens")


def measured(out: Path) -> set[Measured]:
    """What stands in models.jsonl already."""
    path = out / "models.jsonl"
    return {(row["arm"], row["seed"], row["model"]) for _, row in read_objects(path)} if path.exists() else set()


def record(out: Path, arm: str, seed: int, folder: Path, prompts: Sequence[Path], lent: Sequence[str] = ()) -> None:
    """Append what is new in a run: a row for each response to rows.jsonl, and one for each model to models.jsonl.
    `lent`: models that the main arm measured and this one shares."""
    rules = {
        Prompt.of([{"role": "user", "content": row["prompt"]}], "").id: row["rule"]
        for path in prompts
        for _, row in read_objects(path)
    }
    have = measured(out)
    with RowLog(out / "rows.jsonl") as rows, RowLog(out / "models.jsonl") as models:
        for model in sorted(folder.glob("M*")):
            if model.name in lent or (arm, seed, model.name) in have or not (model / ".checks.done.json").exists():
                continue
            responses = read_rows(model / "eval.responses.jsonl", Candidate)
            scores = {j.candidate_id: j.score for j in read_rows(model / "eval.judgements.jsonl", Judgement) if not j.k}
            said = {row["id"]: row["measures"] for _, row in read_objects(model / "checks.jsonl")}
            rows.append(
                [
                    {
                        "arm": arm, "seed": seed, "model": model.name, "prompt": row.prompt_id,
                        "rule": rules[row.prompt_id], **said[row.id],
                        "finished": row.finish_reason == "stop", "tokens": len(row.token_ids),
                        "score": None if scores.get(row.id) is None else round(float(scores[row.id] or 0.0), 3),
                    }
                    for row in responses
                ]
            )  # fmt: skip
            models.append([_of_model(arm, seed, model, [row.text for row in responses])])


def _of_model(arm: str, seed: int, folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    evaluation = read_json(folder / "eval.json")
    found: dict[str, Any] = {"arm": arm, "seed": seed, "model": folder.name}
    found["judge_accuracy"] = (evaluation["agreement"] or {}).get("pairwise_ties_half")
    health = evaluation["judge_health"]
    found |= {"parse_rate": health["parse_rate"], "tie_rate": health["tie_rate"], "mean_score": health["mean_score"]}
    found["distinct_openings"] = len({" ".join(text.split()[:3]) for text in texts}) / len(texts)
    pairs, judge = folder / "pairs.json", folder / "judge.json"
    found["pairs"] = read_json(pairs)["pairs"] if pairs.exists() else None
    found["candidates_parse_rate"] = read_json(judge)["health"]["parse_rate"] if judge.exists() else None
    found["seconds"] = {
        marker.name.split(".")[1]: read_json(marker)["seconds"] for marker in sorted(folder.glob(".*.done.json"))
    }
    return found


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


def with_m1(found: dict[tuple[str, str], Any], arms: Sequence[str]) -> dict[tuple[str, str], Any]:
    """Arms that start from the main arm's M0 and M1 have measured nothing of their own there: lend them those of the
    arm's seeds."""
    lent = dict(found)
    for arm in arms:
        seeds = {seed for (name, _), values in found.items() if name == arm for seed in values}
        for model in ("M0", "M1"):
            mine = {seed: values for seed, values in found.get((MAIN, model), {}).items() if seed in seeds}
            if (arm, model) not in lent and mine:
                lent[arm, model] = mine
    return lent


def text_of(interval: Interval | None, scale: float = 1.0, digits: int = 3, sign: bool = False) -> str:
    if interval is None:
        return "–"
    plus = "+" if sign else ""
    low, high = interval.low * scale, interval.high * scale
    return f"{interval.value * scale:{plus}.{digits}f} ({low:{plus}.{digits}f} to {high:{plus}.{digits}f})"


def show(out: Path, arms: Mapping[str, str]) -> None:
    """Print the tables in Markdown and draw `OUT/evidence.html` (the arms that have all seeds of the main one), from
    rows.jsonl or, where they were put away, rows.jsonl.gz."""
    path = next((path for name in ("rows.jsonl", "rows.jsonl.gz") if (path := out / name).exists()), None)
    if path is None:
        print("nothing measured yet")
        return
    rows = [row for _, row in read_objects(path)]
    models = [row for _, row in read_objects(out / "models.jsonl")]
    order = [arm for arm in arms if any(row["arm"] == arm for row in rows)]
    tables = {measure: cells(rows, measure) for measure in MEASURES}
    passing = tables["passes"]
    names = sorted(passing, key=lambda key: (order.index(key[0]), key[1]))
    print("\n| arm | model | seeds | passes, over prompts | over seeds | against the model before | against M1 |"
          "\n|---|---|---|---|---|---|---|")  # fmt: skip
    lent = with_m1(passing, order)
    for arm, model in names:
        seeds = passing[arm, model]
        before, first = lent.get((arm, f"M{int(model[1:]) - 1}")), lent.get((arm, "M1"))
        step = over_prompts(difference(seeds, before)) if before and model > "M1" else None
        gain = over_prompts(difference(seeds, first)) if first and model > "M2" else None
        means = over_seeds([statistics.mean(values.values()) for values in seeds.values()])
        print(f"| {arm} | {model} | {len(seeds)} | {text_of(over_prompts(seeds))} | {text_of(means)} | "
              f"{text_of(step, 100, 1, True)} | {text_of(gain, 100, 1, True)} |")  # fmt: skip
    _print_measures(names, tables, models, judge_right(rows))
    _print_by_seed(names, passing)
    _print_by_seed(names, tables["held-out rule"], "the held-out rule, ")
    _print_right_by_seed(rows, names)
    _print_differences(names, lent)
    _print_by_rule([row for row in rows if row["arm"] == MAIN])
    draw(passing, order, arms, out / "evidence.html")


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


def _print_by_rule(rows: Sequence[Mapping[str, Any]]) -> None:
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        found.setdefault((row["rule"], row["model"]), []).append(row["passes"])
    names = sorted({model for _, model in found})
    print("\n| rule | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
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


def _print_differences(names: Sequence[tuple[str, str]], passing: Mapping[tuple[str, str], Any]) -> None:
    """Points between models of one arm, and between arms: seed by seed and together, paired over prompts."""
    compared = [((arm, model), (arm, before)) for arm, model in names for before in ("M1", "M2") if before < model]
    compared += [((MAIN, model), (arm, model)) for arm, model in names if arm != MAIN and model > "M1"]
    print("\n| difference in points | seeds | over prompts | over seeds | seed by seed |\n|---|---|---|---|---|")
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
    arms: Mapping[str, str],
    path: Path,
) -> None:
    """Pass rate of the models that were made with every seed (means over different seeds are no line), one line an arm,
    with 95% intervals over prompts; and the main arm's seeds one by one, which tell more than a mean of three."""
    import plotly.graph_objects as go

    every = {seed for (arm, _), seeds in passing.items() if arm == MAIN for seed in seeds}
    whole = [arm for arm in order if any(set(v) >= every for (name, _), v in passing.items() if name == arm)]
    lent = with_m1(dict(passing), whole)
    figure = go.Figure()
    for number, arm in enumerate(whole):
        points = [
            (model, interval)
            for model in sorted({model for name, model in lent if name == arm})
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
            mode="lines+markers", name=f"{arm}: {arms[arm]}", line={"width": 4 if arm == MAIN else 1.5},
        )  # fmt: skip
    mine = {int(model[1:]): seeds for (arm, model), seeds in sorted(passing.items()) if arm == MAIN and model > "M0"}
    for seed in sorted({seed for seeds in mine.values() for seed in seeds}):
        ran = [t for t, seeds in mine.items() if seed in seeds]
        figure.add_scatter(
            x=ran, y=[statistics.mean(mine[t][seed].values()) for t in ran], mode="lines", showlegend=False,
            line={"width": 1, "dash": "dot", "color": "#1f77b4"}, opacity=0.7,
        )  # fmt: skip
        figure.add_annotation(
            x=ran[-1], y=statistics.mean(mine[ran[-1]][seed].values()), text=f"seed {seed}", showarrow=False,
            xanchor="left", xshift=6, font={"size": 11, "color": "#1f77b4"},
        )  # fmt: skip
    last = max(int(model[1:]) for _, model in lent)
    figure.update_layout(
        template="simple_white", width=900, height=520, legend={"orientation": "h", "y": -0.15},
        title="Responses that keep their rule: held-out prompts, checked by code that the loop never sees",
        xaxis={"tickvals": list(range(last + 1)), "ticktext": [f"M{t}" for t in range(last + 1)]},
        yaxis={"title": {"text": "pass rate"}, "tickformat": ".0%", "rangemode": "tozero"},
    )  # fmt: skip
    figure.write_html(str(path), include_plotlyjs=True, config={"displayModeBar": False})
