"""What `evidence.py` measures, as rows: rows.jsonl has one for each response, models.jsonl one for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evidence_arms import OLD_NAMES
from judgeloop.jsonl import RowLog, read_objects, read_rows
from judgeloop.records import Candidate, Judgement, Prompt, stable_id
from judgeloop.run.json_artifacts import read_json

Measured = tuple[str, int, str]  # arm, seed, model


def measured(out: Path) -> set[Measured]:
    """What stands in models.jsonl already."""
    return {(row["arm"], row["seed"], row["model"]) for row in _models(out)}


def record(out: Path, arm: str, seed: int, folder: Path, prompts: Sequence[Path], each: int = 1) -> None:
    """Append what is new in a run: a row for each response to rows.jsonl, and one for each model to models.jsonl. What
    another arm of the seed has rows of already, because this one took its evaluation over, is named (`same_as`) and not
    repeated. `each`: iterations that count as one step; the model after so many is called M2."""
    rules = {
        Prompt.of([{"role": "user", "content": row["prompt"]}], "").id: row["rule"]
        for path in prompts
        for _, row in read_objects(path)
    }
    have = measured(out)
    known = {
        row["evaluation"]: row["arm"]
        for row in _models(out)
        if row["seed"] == seed and "evaluation" in row and "same_as" not in row  # the arm that the rows are of
    }
    with RowLog(out / "rows.jsonl") as rows, RowLog(out / "models.jsonl") as models:
        for folder_of_model in sorted(folder.glob("M*"), key=lambda path: int(path.name[1:])):
            number = int(folder_of_model.name[1:])
            name = folder_of_model.name if number < 2 else f"M{1 + (number - 1) // each}"
            done = (folder_of_model / ".checks.done.json").exists() and (number < 2 or (number - 1) % each == 0)
            if not done or (arm, seed, name) in have:
                continue
            responses = read_rows(folder_of_model / "eval.responses.jsonl", Candidate)
            found = {
                **_of_model(arm, seed, folder_of_model, [row.text for row in responses]),
                "model": name, "iterations": max(0, number - 1), "evaluation": _evaluation(folder_of_model),
            }  # fmt: skip
            if (same := known.setdefault(found["evaluation"], arm)) == arm:
                rows.append(_rows(arm, seed, name, folder_of_model, responses, rules))
            else:
                found["same_as"] = same
            models.append([found])


def _models(out: Path) -> list[dict[str, Any]]:
    path = out / "models.jsonl"
    return [row for _, row in read_objects(path)] if path.exists() else []


def _evaluation(folder: Path) -> str:
    """What tells a model's evaluation from every other: the hashes of its answers and their judgements."""
    files = read_json(folder / ".eval.done.json")["files"]
    return stable_id("evaluation", files["eval.responses.jsonl"], files["eval.judgements.jsonl"])


def _rows(
    arm: str, seed: int, name: str, folder: Path, responses: Sequence[Candidate], rules: Mapping[str, str]
) -> list[dict[str, Any]]:
    scores = {j.candidate_id: j.score for j in read_rows(folder / "eval.judgements.jsonl", Judgement) if not j.k}
    said = {row["id"]: row["measures"] for _, row in read_objects(folder / "checks.jsonl")}
    return [
        {
            "arm": arm, "seed": seed, "model": name, "prompt": row.prompt_id, "rule": rules[row.prompt_id],
            **said[row.id], "finished": row.finish_reason == "stop", "tokens": len(row.token_ids),
            "score": None if scores.get(row.id) is None else round(float(scores[row.id] or 0.0), 3),
        }
        for row in responses
    ]  # fmt: skip


def _of_model(arm: str, seed: int, folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    evaluation = read_json(folder / "eval.json")
    found: dict[str, Any] = {"arm": arm, "seed": seed, "model": folder.name}
    found["judge_accuracy"] = (evaluation["agreement"] or {}).get("pairwise_ties_half")
    health = evaluation["judge_health"]
    found |= {"parse_rate": health["parse_rate"], "tie_rate": health["tie_rate"], "mean_score": health["mean_score"]}
    found["distinct_openings"] = len({" ".join(text.split()[:3]) for text in texts}) / len(texts)
    blindness = health.get("prompt_blindness")
    found["prompt_blindness"] = blindness["value"] if blindness else None
    pairs, agreed, judge = folder / "pairs.json", folder / "agreed.json", folder / "judge.json"
    found["pairs"] = read_json(agreed if agreed.exists() else pairs)["pairs"] if pairs.exists() else None
    found["candidates_parse_rate"] = read_json(judge)["health"]["parse_rate"] if judge.exists() else None
    found["seconds"] = {
        marker.name.split(".")[1]: read_json(marker)["seconds"] for marker in sorted(folder.glob(".*.done.json"))
    }
    return found


def read_measured(out: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of all responses and of all models, from rows.jsonl or, where they were put away, rows.jsonl.gz; the
    responses of models that arms have in common for each of them. Raises FileNotFoundError if there are none."""
    path = next((path for name in ("rows.jsonl", "rows.jsonl.gz") if (path := out / name).exists()), None)
    if path is None:
        raise FileNotFoundError(out)
    renamed = [[{**row, "arm": OLD_NAMES.get(row["arm"], row["arm"])} for _, row in read_objects(file)]
               for file in (path, out / "models.jsonl")]  # fmt: skip
    rows, models = renamed
    by_model: dict[Measured, list[dict[str, Any]]] = {}
    for row in rows:
        by_model.setdefault((row["arm"], row["seed"], row["model"]), []).append(row)
    for model in models:
        if "same_as" in model:
            theirs = by_model.get((model["same_as"], model["seed"], model["model"]), [])
            rows += [{**row, "arm": model["arm"]} for row in theirs]
    return rows, models
