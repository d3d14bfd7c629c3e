"""Where the judge errs: against people's ranks, against the user's own code, by length and by tag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from typing import Any

from judgeloop.viewer.rows import parsed, said
from judgeloop.viewer.run_view import RunView, mean

SHOWN = 30
_BINS = 5


def against_people(view: RunView, model: str) -> dict[str, Any]:
    """Pairs of held-out responses that the judge puts in another order than their ranks, the widest apart first."""
    scores = view.scores(f"{model}/eval.agreement.jsonl")
    wrong: list[dict[str, Any]] = []
    compared = 0
    for _, line in view.rows("M1/held_out.jsonl").lines():
        entry = parsed(line) or {}
        responses = entry.get("responses")
        if not isinstance(responses, list):
            continue
        known = [(scores.get(f"{entry.get('id')}.{k}"), r) for k, r in enumerate(responses) if isinstance(r, dict)]
        for (x, one), (y, other) in combinations(
            [(s, r) for s, r in known if s is not None and isinstance(r.get("rank"), (int, float))], 2
        ):
            if one["rank"] == other["rank"]:
                continue
            compared += 1
            better, worse = ((x, one), (y, other)) if one["rank"] < other["rank"] else ((y, other), (x, one))
            if better[0] < worse[0]:
                wrong.append({"prompt": said(entry.get("messages")), "source": entry.get("source"),
                              "better": better, "worse": worse, "gap": worse[0] - better[0]})  # fmt: skip
    wrong.sort(key=lambda row: -row["gap"])
    return {"wrong": wrong[:SHOWN], "count": len(wrong), "compared": compared}


def against_checker(view: RunView, model: str) -> list[dict[str, Any]]:
    """Every evaluated response with score, what the user's code says (None without it), length, prompt and tag."""
    scores, checks = view.scores(f"{model}/eval.judgements.jsonl"), view.checks(model)
    prompts = view.evaluation_prompts()
    return [
        {"id": row["id"], "text": str(row.get("text") or ""), "score": scores[row["id"]],
         "truth": checks.get(row["id"]),
         "prompt_id": prompt_id, "prompt": prompts.get(prompt_id, {}).get("text") or prompt_id,
         "tag": prompts.get(prompt_id, {}).get("tag") or ""}
        for prompt_id, rows in view.responses(model).items()
        for row in rows
        if row["id"] in scores
    ]  # fmt: skip


def disagreements(rows: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Failing answers that were scored highest, passing ones that were scored lowest."""
    failing = sorted((r for r in rows if r["truth"] == 0), key=lambda r: -r["score"])
    passing = sorted((r for r in rows if r["truth"] == 1), key=lambda r: r["score"])
    return [("fail, and scored highest", failing[: SHOWN // 2]), ("pass, and scored lowest", passing[: SHOWN // 2])]


def binned(
    rows: Sequence[dict[str, Any]], of: Callable[[dict[str, Any]], float], digits: int, seed: int
) -> list[dict[str, Any]]:
    """Fifths of the responses by a number, each with its mean score and its share of truth over prompts."""
    ordered = sorted(rows, key=of)
    edges = [round(k * len(ordered) / _BINS) for k in range(_BINS + 1)]
    parts = [ordered[a:b] for a, b in pairwise(edges) if b > a]
    return [_summary(f"{of(part[0]):.{digits}f} to {of(part[-1]):.{digits}f}", part, seed) for part in parts]


def by_tag(rows: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    tags: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["tag"]:
            tags.setdefault(row["tag"], []).append(row)
    return [_summary(tag, part, seed) for tag, part in sorted(tags.items())]


def _summary(label: str, rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    from judgeloop.evaluation.statistics import as_dict, mean_interval

    known: dict[str, list[float]] = {}
    for row in rows:
        if row["truth"] is not None:
            known.setdefault(row["prompt_id"], []).append(row["truth"])
    shares = [sum(values) / len(values) for values in known.values()]  # answers to one prompt are alike
    truth = as_dict(mean_interval(shares, seed=seed, bounds=(0.0, 1.0)))
    return {"label": label, "n": len(rows), "score": mean([row["score"] for row in rows]), "truth": truth}
