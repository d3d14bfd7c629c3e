"""Carry out one step of a run: from its begun-marker to its done-marker."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from judgeloop.run.circumstances import TEXTS
from judgeloop.shipped import listening
from judgeloop.stages.context import Context


def help_stage(context: Context) -> None:
    """Do a further process's share of a step that trains; the first process answers for the step."""
    context.step.stage.run(context)


def run_stage(context: Context, helpers: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
    """Run one step from begun-marker to done-marker, `helpers` (further processes) beside it; if it fails, note the
    time it took and let the error out. If an attempt before was killed when all but the marker was done, only that is
    left to do."""
    step = context.step
    context.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    context.run.begin(step)
    try:
        with listening(lambda name, digest: context.run.note(step, TEXTS, name, digest)):
            outcome = None if step.stage.recover is None else step.stage.recover(context)
            if outcome is None:
                with helpers():
                    outcome = step.stage.run(context)
    except BaseException:
        context.run.spend(step, time.monotonic() - started)
        raise
    context.run.finish(step, time.monotonic() - started, outcome.account)
