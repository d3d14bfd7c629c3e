"""What a run has come to, as `summary.json`: built from the run directory alone, at any moment of the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judgeloop.jsonl import write_text_atomically
from judgeloop.report.concerns import concerns
from judgeloop.report.creation import without_samples
from judgeloop.report.reading import RunFiles


def summarise(run: Path) -> dict[str, Any]:
    """The content of `summary.json`. Values of parts that are not there yet are None.

    Raises InputError if `run` is not a run directory.
    """
    files = RunFiles(run)
    return with_damage(summary_of(files), files)


def write_summary(files: RunFiles, summary: dict[str, Any]) -> None:
    """Write `RUN/summary.json`; `summary` is `summary_of(files)`."""
    text = json.dumps(with_damage(summary, files), ensure_ascii=False, indent=2)
    write_text_atomically(files.path / "summary.json", text + "\n")


def summary_of(files: RunFiles) -> dict[str, Any]:
    """`summarise` over files already opened, without what was found damaged."""
    models = [_model(files, name) for name in files.models()]
    planned = files.run.get("evaluated")  # an earlier version evaluated every model, and did not say so
    expected = [
        m for m in models
        if (_base_is_due(files) if m["name"] == "M0" else not isinstance(planned, list) or m["name"] in planned)
    ]  # fmt: skip
    due = ("eval", *(("checks",) if _checks_are_due(files) else ()))
    complete = bool(expected) and all(
        files.has(f"{m['name']}/{stage}.json") and files.has(f"{m['name']}/.{stage}.done.json")
        for m in expected
        for stage in due
    )
    decision = files.json("decision.json")
    stopped = decision is not None and decision.get("stopped") is True
    return {
        "models": [m for m in models if not stopped or m["seconds"]],
        "complete": complete or stopped,
        "decision": decision,
        "under_way": files.under_way(),
        "warnings": concerns(models, files.section("health")),
    }


def listed(models: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The models that tables of figures have a row for: M0 is none of them unless it was evaluated (evaluation.base),
    for its row would be dashes."""
    return [m for m in models if m["name"] != "M0" or m["length"]["mean_characters"] is not None or len(models) == 1]


def with_damage(summary: dict[str, Any], files: RunFiles) -> dict[str, Any]:
    """The summary with a warning for each file that turned out damaged while reading."""
    damaged = [{"model": None, "kind": "damaged file", "text": f"{text}."} for text in files.problems]
    return {**summary, "warnings": damaged + summary["warnings"]}


def _base_is_due(files: RunFiles) -> bool:
    """M0 is evaluated by a step of its own, which has left a marker once it began."""
    return files.has("M0/.eval.begun.json") or files.has("M0/.eval.done.json")


def _checks_are_due(files: RunFiles) -> bool:
    """The user's own code is asked about every evaluated model if the config names it."""
    return files.section("evaluation").get("checker") is not None


def _truth(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """What checks.json says, the headline measure first."""
    if found is None or not isinstance(found.get("measures"), dict):
        return None
    name, differences = found.get("headline"), found.get("differences") or {}
    return {
        "measure": name,
        "value": found["measures"].get(name),
        "previous": found.get("previous"),
        "difference": differences.get(name),
        "measures": found["measures"],
        "differences": differences,
        "judge_accuracy": found.get("judge_accuracy"),
        "group": found.get("group"),
        "groups": found.get("groups") or {},
        "without_group": found.get("without_group"),
    }


def _seed(files: RunFiles, name: str) -> dict[str, Any] | None:
    """The seed's account, with that of the EFT rows that a model wrote."""
    seed = files.json(f"{name}/seed.json")
    return None if seed is None else {**seed, **(files.json(f"{name}/eft.json") or {})}


def _model(files: RunFiles, name: str) -> dict[str, Any]:
    train = files.json(f"{name}/train.json") or {}
    base = files.json(f"{name}/model.json") or {}
    found = files.json(f"{name}/eval.json") or {}
    health = found.get("judge_health") or {}
    mean_score = health.get("mean_score") or {}
    length = found.get("length") or {}
    pairs = files.json(f"{name}/pairs.json")
    agreed = files.json(f"{name}/agreed.json")  # fewer pairs than were made
    checks = files.json(f"{name}/checks.json")
    stages = files.finished_stages(name)
    return {
        "name": name,
        "initial": train.get("initial"),
        "reference": train.get("reference"),
        "hash": train.get("hash", base.get("hash")),
        "pairs": None if pairs is None else (agreed or pairs).get("pairs"),
        "judge": {
            "name": found.get("judge"),
            "parse_rate": health.get("parse_rate"),
            "tie_rate": health.get("tie_rate"),
            "mean_score": mean_score.get("value"),
            "mean_score_interval": health.get("mean_score"),
            "scale": health.get("scale"),
            "histogram": health.get("histogram"),
            "top_share": health.get("top_share"),
            **{key: health.get(key) for key in ("length_correlation", "retest_spread", "judgements")},
            "prompt_blindness": health.get("prompt_blindness"),
        },
        "agreement": found.get("agreement"),
        "win_rate_vs_previous": found.get("win_rate_vs_previous"),
        "ifeval": found.get("ifeval"),
        "truth": _truth(checks),
        "metrics": {**_metrics(found), **_metrics(checks or {})},
        "length": {
            "mean_characters": length.get("mean_characters"),
            "mean_characters_interval": length.get("mean_characters_interval"),
            "mean_tokens": length.get("mean_tokens"),
            "truncated_share": length.get("truncated_share"),
        },
        "seconds": {stage["stage"]: stage["seconds"] for stage in stages},
        "stage_titles": {stage["stage"]: stage["title"] for stage in stages},
        "accounts": {
            "seed": _accounts(_seed(files, name)),
            "prompts": _accounts(files.json(f"{name}/prompts.json")),
            "pairs": _accounts(pairs),
            "refresh": _accounts(files.json(f"{name}/refresh.json")),
            "solved": _accounts(files.json(f"{name}/solved.json")),
        },
        "diversity": (files.json(f"{name}/prompts.json") or {}).get("diversity"),
        "loop_judge": _loop_judge(files.json(f"{name}/judge.json")),
        "training": {
            key: train.get(key)
            for key in ("rows", "dropped", "steps", "tokens", "first_loss", "last_loss", "chosen_change")
        } if train else None,
    }  # fmt: skip


def _metrics(measured: dict[str, Any]) -> dict[str, Any]:
    """The block of metrics without their numbers prompt by prompt."""
    block: dict[str, dict[str, Any]] = measured.get("metrics") or {}
    return {name: {key: metric[key] for key in metric if key != "by_prompt"} for name, metric in block.items()}


def _accounts(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """An account file's counts."""
    return None if value is None else without_samples(value)


def _loop_judge(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """How the judge did on the candidates that made this model's pairs, as its stage measured it (judge.json)."""
    health = (found or {}).get("health")
    if found is None or not isinstance(health, dict):
        return None
    keys = ("scale", "judgements", "parse_rate", "tie_rate", "top_share", "length_correlation", "retest_spread",
            "prompt_blindness")  # fmt: skip
    return {"name": found.get("judge"), **{key: health.get(key) for key in keys}}
