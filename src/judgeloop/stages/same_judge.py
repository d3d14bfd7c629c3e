"""What the judge of an evaluation judged already in that of the model before, where `evaluation.judge` is one model for
all: it is taken over and not asked for again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from judgeloop.config import Config
from judgeloop.jsonl import RowLog, each_row
from judgeloop.judging.pointwise import ToJudge, judgement_id
from judgeloop.records import Judgement
from judgeloop.run.circumstances import ENGINES, KEY
from judgeloop.run.json_artifacts import read_json
from judgeloop.stages.context import Context


def take_over(context: Context, name: str, path: Path, items: Sequence[ToJudge], suffix: str = "") -> None:
    """Append to `path` the judgements of `items` that are in the input `name`, where an item's id lacks the suffix; of
    another engine none, which `engine.kind: auto` may have meant on another machine. Asked for after this evaluation's
    engine is known."""
    if not items or not context.has(name) or not context.path(name).exists() or _another_engine(context, name):
        return
    wanted = {item.id for item in items}
    with RowLog(path) as log:
        have = {row.id for row in each_row(path, Judgement)}
        for row in context.each_row(name, Judgement):
            item = row.candidate_id + suffix
            taken = replace(row, id=judgement_id(item, row.k), candidate_id=item)
            if item in wanted and taken.id not in have:
                log.append([taken])


def read_alone(config: Config) -> bool:
    """Whether a judgement is read from the judge's probabilities and nothing in it is drawn, by its id or otherwise."""
    return config.judge.scoring == "expected" and not config.judge.justification


def _another_engine(context: Context, name: str) -> bool:
    """Whether the judge was run by another engine there than here."""
    marker = context.run.marker(context.given_by(name), "done")
    there = read_json(marker).get(KEY, {}).get(ENGINES, {}) if marker.exists() else {}
    here = context.run.noted(context.step, ENGINES)
    return any(there[model] != here[model] for model in there.keys() & here.keys())
