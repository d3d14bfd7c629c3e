"""Which function runs which stage. Importing them imports nothing heavy: they load what they need when they run."""

from __future__ import annotations

import time
from collections.abc import Callable

from judgeloop.stages import (
    backtranslation,
    evaluation,
    generation,
    ground_truth,
    judging,
    meta,
    model,
    pairs,
    prompts,
    seed,
    training,
    written_eft,
)
from judgeloop.stages.context import Context, Outcome

STAGES: dict[str, Callable[[Context], Outcome]] = {
    "model": model.base_model,
    "seed": seed.seed,
    "writer": written_eft.writer,
    "written": written_eft.written,
    "eft": written_eft.eft,
    "segments": backtranslation.segments,
    "backward": backtranslation.backward,
    "labels": backtranslation.labels,
    "labelled": backtranslation.labelled,
    "forward": backtranslation.forward,
    "scores": backtranslation.scores,
    "curate": backtranslation.curated,
    "backtranslated": backtranslation.backtranslated,
    "sft": training.sft,
    "prompts": prompts.new_prompts,
    "candidates": generation.candidates,
    "anchors": generation.anchors,
    "judge": judging.judgements,
    "consistency": judging.consistency,
    "pairs": pairs.pairs,
    "meta": meta.judge_pairs,
    "train": training.train,
    "eval": evaluation.evaluate,
    "checks": ground_truth.checks,
}


# What trains, and may do so in several processes.
TRAINS = frozenset({"sft", "writer", "backward", "forward", "train"})


def help_stage(context: Context) -> None:
    """Do a further process's share of a step that trains; the first process answers for the step."""
    STAGES[context.step.kind](context)


def run_stage(context: Context) -> None:
    """Run one step from begun-marker to done-marker; where it fails, note the time it took and let the error out."""
    step = context.step
    context.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    context.run.begin(step)
    try:
        outcome = STAGES[step.kind](context)
    except BaseException:
        context.run.spend(step, time.monotonic() - started)
        raise
    context.run.finish(step, time.monotonic() - started, outcome.account, outcome.files)
