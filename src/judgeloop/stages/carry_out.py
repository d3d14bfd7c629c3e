"""Carry out one step of a run: from its begun-marker to its done-marker."""

from __future__ import annotations

import time

from judgeloop.stages.context import Context


def help_stage(context: Context) -> None:
    """Do a further process's share of a step that trains; the first process answers for the step."""
    context.step.stage.run(context)


def run_stage(context: Context) -> None:
    """Run one step from begun-marker to done-marker; if it fails, note the time it took and let the error out."""
    step = context.step
    context.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    context.run.begin(step)
    try:
        outcome = step.stage.run(context)
    except BaseException:
        context.run.spend(step, time.monotonic() - started)
        raise
    context.run.finish(step, time.monotonic() - started, outcome.account)
