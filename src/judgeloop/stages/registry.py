"""Which function runs which stage. Importing them imports nothing heavy: they load what they need when they run."""

from __future__ import annotations

import time
from collections.abc import Callable

from judgeloop.stages import evaluation, generation, judging, model, pairs, prompts, seed, training
from judgeloop.stages.context import Context, Outcome

STAGES: dict[str, Callable[[Context], Outcome]] = {
    "model": model.base_model,
    "seed": seed.seed,
    "sft": training.sft,
    "prompts": prompts.new_prompts,
    "candidates": generation.candidates,
    "anchors": generation.anchors,
    "judge": judging.judgements,
    "pairs": pairs.pairs,
    "train": training.train,
    "eval": evaluation.evaluate,
}


def run_stage(context: Context) -> None:
    """Run one step from begun-marker to done-marker; where it fails, note the time it took and let the error out."""
    step = context.step
    context.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    context.run.begin(step)
    try:
        outcome = STAGES[step.stage](context)
    except BaseException:
        context.run.spend(step, time.monotonic() - started)
        raise
    context.run.finish(step, time.monotonic() - started, outcome.account, outcome.files)
