"""Carry out the method's steps in one run directory: skip what is done, refuse what is stale, resume what was cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from judgeloop.compute.forks import ForkServer
from judgeloop.config import Config
from judgeloop.errors import InputError
from judgeloop.export.cards import write_cards
from judgeloop.forecast.planning import said_before
from judgeloop.report.page import write_reports
from judgeloop.run import children, preflight, seals, stopping
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.methods import METHODS
from judgeloop.run.other_ranks import help_run, release_others
from judgeloop.run.stage import LOOP, Display, Step, select
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from judgeloop.stages.run_note import write_notes
from judgeloop.stages.shown import samples_of
from judgeloop.tracking.tracked import Tracked, check_trackers
from judgeloop.training import distributed


def execute(config: Config, out: Path, display: Display, redo: Sequence[str] = (), *, method: str = LOOP) -> None:
    """Carry out a method's steps (`loop.METHODS`) in `out`. The loop runs until its last model is made and evaluated,
    or a rule stops it, and ends with summary and report; other methods end with their last step.

    Raises InputError, StageFailed or Interrupted; in every case the run can be started again where it stopped. Under
    torchrun, what has not rank 0 only helps with its trainings.
    """
    distributed.take_over()
    if not distributed.is_main():
        help_run(out, children.environment(config, trains=True))
        return
    steps = METHODS[method](config)
    roots = [step for wanted in redo for step in _selected(steps, wanted)]
    preflight.refuse_without_gpu(RunDirectory(out, config, steps), steps, roots)
    check_trackers(config)
    preflight.refuse_without_engine(RunDirectory(out, config, steps), steps, roots)
    run = RunDirectory.prepare(out, config, steps)
    tracked: Tracked | None = None
    finished = False
    server = ForkServer(children.IMPORTED_ONCE, children.environment(config))
    try:
        preflight.refuse_other(run, method)
        if roots:
            moved, where = run.supersede(roots)
            display.superseded(moved, where)
        preflight.refuse_stale(run, steps)
        gone = seals.gone(run, steps)
        preflight.refuse_changed_models(run, steps, gone)
        describe(run, method)
        write_notes(run)
        preflight.check_cluster(run, steps, display, server)
        write_cards(run)
        display = tracked = Tracked(display, run)
        preflight.check_players(run, steps, server)
        preflight.check_served(run, steps, server)
        preflight.check_checker(run, steps, server)
        if method == LOOP and not any(run.state(step) == "done" for step in steps):
            for line in said_before(config, steps, out):
                display.note(line)
        if method != LOOP:
            for step in steps:
                _advance(run, steps, step, gone, display, server)
            release_others(out, children.environment(config, trains=True))
            finished = True
            return
        (out / stopping.FILE).unlink(missing_ok=True)  # decided anew below, maybe under other rules
        decision = None
        for step in steps:
            # A decision is final, but what else measures the last model belongs to the run.
            if decision is not None and not step.stage.measures:
                break
            advanced = _advance(run, steps, step, gone, display, server)
            if step is run.maker("M0"):
                preflight.refuse_too_many_frozen_layers(run, steps)
            if advanced and step.stage.measures:
                write_reports(out)
                write_cards(run)
            if step.name not in gone:  # else the run went on after it
                decision = decision or stopping.decide(run, step)
        decision = stopping.with_best(run, decision or stopping.conclude(run, steps[-1]))
        stopping.record(run, decision)
        write_reports(out)
        write_cards(run)
        release_others(out, children.environment(config, trains=True))
        finished = True
    finally:
        server.close()
        if tracked is not None:
            tracked.close(finished=finished)
        run.close()


def _advance(
    run: RunDirectory, steps: Sequence[Step], step: Step, gone: set[str], display: Display, server: ForkServer
) -> bool:
    """Carry out one step; return False if there was nothing to do. What is gone is not made anew: nothing needs it, or
    else `seals.check` says so."""
    again = step.stage.only_checks and bool(run.stale([step]))
    done = run.state(step) == "done" and not again
    if step.name in gone or (done and (_present(run, step) or _all_done(run, steps, gone))):
        display.skipped(step)
        return False
    seals.check(run, step, gone)
    _carry_out(run, step, display, server)
    if step.weights == "model":
        write_notes(run)
        write_cards(run)
    if step.stage.content is not None:
        preflight.refuse_stale(run, steps)  # maybe other weights than those that the rest was made from
    return True


def _all_done(run: RunDirectory, steps: Sequence[Step], gone: set[str]) -> bool:
    return all(step.name in gone or run.state(step) == "done" for step in steps)


def _selected(steps: Sequence[Step], wanted: str) -> list[Step]:
    found = select(steps, wanted)
    if not found:
        known = ", ".join(dict.fromkeys(step.label for step in steps))
        raise InputError(f"--redo {wanted}: no such step; give a stage ({known}), a model (M2) or both (M2/judge)")
    return found


def _present(run: RunDirectory, step: Step) -> bool:
    """Whether what a finished artifact names outside the run, such as M0's weights, is still there."""
    return step.stage.present is None or step.stage.present(run.artifact(step.name))


def _carry_out(run: RunDirectory, step: Step, display: Display, server: ForkServer) -> None:
    display.started(step, resumed=run.state(step) == "begun")
    context = Context(run, step, display.progress)
    try:
        if step.light:
            run_stage(context)
        else:
            children.carry_out_in_child(run, step, display, server)
    except BaseException:
        display.failed()
        raise
    display.finished(step, read_json(run.marker(step, "done")))
    if samples := samples_of(context, finished=True):
        display.samples(step, samples)
