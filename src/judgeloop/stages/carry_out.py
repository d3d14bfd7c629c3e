"""Carry out one step of a run: from its begun-marker to its done-marker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from judgeloop.run.circumstances import ENGINES, KEY, TEXTS
from judgeloop.run.json_artifacts import read_json
from judgeloop.shipped import listening
from judgeloop.stages.context import Context


def help_stage(context: Context) -> None:
    """Do a further process's share of a step that trains; the first process answers for the step."""
    context.step.stage.run(context)


def run_stage(context: Context, tell: Callable[[bool], object] = bool) -> None:
    """Run one step from begun-marker to done-marker; if it fails, note the time it took and let the error out. If an
    attempt before was killed when all but the marker was done, only that is left to do. `tell` is told whether there is
    more, for further processes that wait to help."""
    step = context.step
    context.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    context.run.begin(step)
    try:
        with listening(lambda name, digest: context.run.note(step, TEXTS, name, digest)):
            outcome = None if step.stage.recover is None else step.stage.recover(context)
            tell(outcome is None)
            if outcome is None:
                outcome = step.stage.run(context)
    except BaseException:
        context.run.spend(step, time.monotonic() - started)
        raise
    account = dict(outcome.account)
    if other := _other_engines(context):
        account["yields"] = [*account.get("yields", ()), other]
    context.run.finish(step, time.monotonic() - started, account)


def _other_engines(context: Context) -> str | None:
    """What is said if `engine.kind: auto` meant another engine in an earlier step: on another machine, maybe."""
    run = context.run
    here = _by_kind(run.noted(context.step, ENGINES))
    for step in run.steps.values():
        marker = run.marker(step, "done")
        there = _by_kind(read_json(marker).get(KEY, {}).get(ENGINES, {})) if here and marker.exists() else {}
        for kind in sorted(here.keys() & there.keys()):
            if here[kind] != there[kind]:
                return (
                    f"engine.kind: auto meant {here[kind]} here and {there[kind]} in {step.name}: "
                    "their figures differ a little"
                )
    return None


def _by_kind(engines: Mapping[str, str]) -> dict[str, str]:
    """Whose engine → its name: the run's models are all of one architecture, a user's model may be of another."""
    return {"" if re.match(r"M\d", model) else model: engine for model, engine in engines.items()}
