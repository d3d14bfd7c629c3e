"""What the files of a finished step say: the numbers that a tracker draws and the samples that it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from judgeloop.report.reading import RunFiles
from judgeloop.report.samples import pair_samples
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.samples import last_turn
from judgeloop.run.stage import Step
from judgeloop.stages.context import Context
from judgeloop.stages.shown import samples_of
from judgeloop.tracking.base import Table

# Accounts of words, columns and files, which are no curves, and what is there by another name.
_NOT_DRAWN = {"metrics", "columns", "openings", "content_words", "languages", "initial", "reference", "sources",
              "evaluation_sets", "by_score", "mean_characters_interval"}  # fmt: skip


def number_of(model: str) -> int:
    """M2 → 2: the place of a model on the models' axis; 0 for what is none of the loop's."""
    return int(model[1:]) if model[1:].isdigit() else 0


def figures(run: RunDirectory, step: Step) -> dict[str, float]:
    """Every number of the JSON files that the step wrote, by its path: "more/eval/length/mean_tokens". An interval
    is three numbers, its ends named `…_low` and `…_high`. The metrics (`evaluation.metrics`) are by their names under
    "evaluation", their comparisons with the model before as `…_change` if the value is not itself one."""
    found: dict[str, float] = {}
    for name in step.writes:
        if name.endswith(".json") and not step.stage.only_checks and (path := run.folder(step.model) / name).exists():
            value = read_json(path, whole=False)
            found |= _numbers(f"more/{name.removesuffix('.json')}", value)
            block = value.get("metrics") if step.stage.measures else None
            for metric, told in (block or {}).items():
                found |= _numbers(f"evaluation/{metric}", told.get("value"))
                versus = (told.get("versus") or {}).get("value")
                if versus is not None and versus != told.get("value"):
                    found |= _numbers(f"evaluation/{metric}_change", versus)
    return found


def _numbers(name: str, value: Any) -> dict[str, float]:
    if isinstance(value, Mapping):
        ends = {"low": f"{name}_low", "high": f"{name}_high", "value": name} if "value" in value else {}
        found: dict[str, float] = {}
        for key, inner in value.items():
            if key not in _NOT_DRAWN and not (ends and key == "n"):
                found |= _numbers(ends.get(key, f"{name}/{key}"), inner)
        return found
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return {}
    return {name: float(value)}


def tables(run: RunDirectory, step: Step) -> list[Table]:
    """What a person sees of the step's rows while the run goes; after the pairs, some of them."""
    found = []
    shown = samples_of(Context(run, step, lambda *_: None), finished=True)
    if shown is not None and shown.samples:
        answers = [(sample.prompt, answer) for sample in shown.samples for answer in sample.answers]
        measures = list(dict.fromkeys(name for _, answer in answers for name in answer.measures))
        rows = [
            [prompt, answer.text, answer.score, shown.judge, *(answer.measures.get(name) for name in measures)]
            for prompt, answer in answers
        ]
        columns = ["prompt", "response", "score", "judge", *measures]
        found.append(Table(f"samples/{step.model}.{step.label}", number_of(step.model), columns, rows))
    if step.stage.name == "pairs":
        pairs = pair_samples(RunFiles(run.path), step.model)
        rows = [
            [last_turn(pair["prompt"]), *(side[key] for side in pair["sides"] for key in ("text", "score"))]
            for pair in pairs
        ]
        columns = ["prompt", "chosen", "chosen score", "rejected", "rejected score"]
        found.append(Table(f"samples/{step.model}.pairs", number_of(step.model), columns, rows))
    return found
