"""Carry out the method's steps in one run directory: skip what is done, refuse what is stale, resume what was cut."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from judgeloop.compute import allocator
from judgeloop.compute.cluster import require_ray
from judgeloop.compute.forks import ForkServer
from judgeloop.compute.local import run_child
from judgeloop.compute.torchrun import command, require_gpus
from judgeloop.config import Config
from judgeloop.errors import InputError
from judgeloop.export.cards import write_cards
from judgeloop.forecast.planning import said_before
from judgeloop.models.check_folder import require_layers
from judgeloop.models.hardware import cores, has_driver, require_gpu_settings
from judgeloop.report.page import write_reports
from judgeloop.run import seals, stopping
from judgeloop.run.directory import RunDirectory, describe, read_facts
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.methods import METHODS
from judgeloop.run.other_ranks import help_run, release_others, require_share
from judgeloop.run.short_training import is_short
from judgeloop.run.stage import LOOP, Display, Step, downstream, select
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from judgeloop.stages.players import outside_roles
from judgeloop.stages.run_note import write_notes
from judgeloop.stages.served import require_adapters
from judgeloop.stages.shown import samples_of
from judgeloop.tracking.tracked import Tracked, check_trackers
from judgeloop.training import distributed

# What stages need that do not train, which is what takes long; TRL brings pyarrow, whose thread does not end at a fork.
_IMPORTED_ONCE = (
    "judgeloop.run.child",
    "judgeloop.engines.transformers",
    "judgeloop.evaluation.measures",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.auto.modeling_auto",
    "transformers.modeling_utils",
    "transformers.generation",
)


def execute(config: Config, out: Path, display: Display, redo: Sequence[str] = (), *, method: str = LOOP) -> None:
    """Carry out a method's steps (`loop.METHODS`) in `out`. The loop runs until its last model is made and evaluated,
    or a rule stops it, and ends with summary and report; other methods end with their last step.

    Raises InputError, StageFailed or Interrupted; in every case the run can be started again where it stopped. Under
    torchrun, what has not rank 0 only helps with its trainings.
    """
    distributed.take_over()
    if not distributed.is_main():
        help_run(out, _environment(config, trains=True))
        return
    steps = METHODS[method](config)
    roots = [step for wanted in redo for step in _selected(steps, wanted)]
    _refuse_without_gpu(RunDirectory(out, config, steps), steps, roots)
    check_trackers(config)
    _refuse_without_engine(RunDirectory(out, config, steps), steps, roots)
    run = RunDirectory.prepare(out, config, steps)
    tracked: Tracked | None = None
    finished = False
    server = ForkServer(_IMPORTED_ONCE, _environment(config))
    try:
        _refuse_other(run, method)
        if roots:
            moved, where = run.supersede(roots)
            display.superseded(moved, where)
        _refuse_stale(run, steps)
        gone = seals.gone(run, steps)
        _refuse_changed_models(run, steps, gone)
        describe(run, method)
        write_notes(run)
        _check_cluster(run, steps, display, server)
        write_cards(run)
        display = tracked = Tracked(display, run)
        _check_players(run, steps, server)
        _check_served(run, steps, server)
        _check_checker(run, steps, server)
        if method == LOOP and not any(run.state(step) == "done" for step in steps):
            for line in said_before(config, steps, out):
                display.note(line)
        if method != LOOP:
            for step in steps:
                _advance(run, steps, step, gone, display, server)
            release_others(out, _environment(config, trains=True))
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
                _require_layers(run, steps)
            if advanced and step.stage.measures:
                write_reports(out)
                write_cards(run)
            if step.name not in gone:  # else the run went on after it
                decision = decision or stopping.decide(run, step)
        decision = stopping.with_best(run, decision or stopping.conclude(run, steps[-1]))
        stopping.record(run, decision)
        write_reports(out)
        write_cards(run)
        release_others(out, _environment(config, trains=True))
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
        _refuse_stale(run, steps)  # maybe other weights than those that the rest was made from
    return True


def _all_done(run: RunDirectory, steps: Sequence[Step], gone: set[str]) -> bool:
    return all(step.name in gone or run.state(step) == "done" for step in steps)


def _refuse_changed_models(run: RunDirectory, steps: Sequence[Step], gone: set[str]) -> None:
    """What an open step lacks is named now, not when its turn comes, maybe after hours. Steps after the end of a run
    that a rule stopped are not open."""
    decided = run.path / stopping.FILE
    if decided.exists() and read_json(decided).get("stopped"):
        return
    for step in steps:
        if step.name not in gone and run.state(step) != "done":
            seals.check(run, step, gone)


def _refuse_without_gpu(run: RunDirectory, steps: Sequence[Step], roots: Sequence[Step]) -> None:
    """A training that this machine cannot do is named before anything is made, not when its turn comes, maybe after
    hours. What was trained elsewhere stays usable here."""
    again, gone = downstream(steps, roots), seals.gone(run, steps)
    pending = {
        step.stage.trains for step in steps if step in again or (run.state(step) != "done" and step.name not in gone)
    } - {None}
    for key in sorted(str(name) for name in pending):
        if run.config.compute.cluster is None:  # else it is not this machine that trains
            require_gpu_settings(attrgetter(key)(run.config), key)
    if run.config.compute.cluster is not None:
        require_ray(run.config.compute)
        if distributed.processes() > 1:
            raise InputError(
                "compute.cluster and torchrun: each would start the processes of a training; start the run without "
                "torchrun, or set compute.cluster: null"
            )
        require_share(run.config.compute.sharding, run.config.compute.processes)
    elif pending:
        here, all_of_them = _processes(run.config)
        require_share(run.config.compute.sharding, all_of_them)
        if here > 1:
            require_gpus(here)


def _processes(config: Config) -> tuple[int, int]:
    """How many train on this machine, and on all."""
    if distributed.processes() > 1:
        return distributed.local_processes(), distributed.processes()
    return config.compute.processes, config.compute.processes


def _refuse_without_engine(run: RunDirectory, steps: Sequence[Step], roots: Sequence[Step]) -> None:
    """An engine that is not installed, or cannot run what is to be made, is named before anything is made."""
    again, gone = downstream(steps, roots), seals.gone(run, steps)
    if any(
        "engine.kind" in step.keys and (step in again or (run.state(step) != "done" and step.name not in gone))
        for step in steps
    ):
        from judgeloop.engines import require_usable

        require_usable(run.config.engine)
        if run.config.engine.kind == "server":
            require_adapters(run.config, steps)


def _refuse_other(run: RunDirectory, method: str) -> None:
    """One folder, one method."""
    found = read_facts(run.path)["method"] if (run.path / "run.json").exists() else method
    if found != method:
        raise InputError.at(run.path, None, f"holds the steps of '{found}', not of '{method}'", "choose another --out")


def _selected(steps: Sequence[Step], wanted: str) -> list[Step]:
    found = select(steps, wanted)
    if not found:
        known = ", ".join(dict.fromkeys(step.label for step in steps))
        raise InputError(f"--redo {wanted}: no such step; give a stage ({known}), a model (M2) or both (M2/judge)")
    return found


def _refuse_stale(run: RunDirectory, steps: Sequence[Step]) -> None:
    stale = [found for found in run.stale(steps) if not found.step.stage.only_checks]
    if stale:
        first = stale[0]
        after = [step.name for step in downstream(steps, [first.step])[1:] if run.state(step) != "missing"]
        also = f" (and {', '.join(after)}, made from it)" if after else ""
        raise InputError(
            f"{run.path}: {first.step.name} is stale{also}: {first.why}; "
            f"put it back, choose another --out, or make it anew with --redo {first.step.name}"
        )
    changed = run.changed_by_hand(steps)
    if changed:
        name = changed[0].name
        raise InputError(
            f"{run.artifact(name)}: was changed after {name} finished; restore it, or make it anew with --redo {name}"
        )


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
            _in_child(run, step, display, server)
    except BaseException:
        display.failed()
        raise
    display.finished(step, read_json(run.marker(step, "done")))
    if samples := samples_of(context, finished=True):
        display.samples(step, samples)


def _require_layers(run: RunDirectory, steps: Sequence[Step]) -> None:
    """InputError if a training that is still to come freezes more layers than M0 has to spare: said once M0's folder is
    known, before anything is trained."""
    keys = sorted({key for step in steps if (key := step.stage.trains) and run.state(step) != "done"})
    frozen = {f"{key}.freeze_layers": attrgetter(key)(run.config).freeze_layers for key in keys}
    if any(frozen.values()):
        require_layers(run.base_weights(), frozen)


def _check_players(run: RunDirectory, steps: Sequence[Step], server: ForkServer) -> None:
    """Look at the models that no step makes, in the roles that they have yet to play; InputError if one cannot."""
    owed = [step for step in steps if run.state(step) != "done"]
    if names := list(dict.fromkeys(step.name for step, _, _ in outside_roles(owed))):
        _look(run, server, "check_players", *names)


def _check_served(run: RunDirectory, steps: Sequence[Step], server: ForkServer) -> None:
    """Try the server that is the run's engine; InputError if it cannot be that."""
    owed = (step for step in steps if run.state(step) != "done")
    if run.config.engine.kind == "server" and any("engine.kind" in step.keys for step in owed):
        _look(run, server, "check_served")


def _check_checker(run: RunDirectory, steps: Sequence[Step], server: ForkServer) -> None:
    """Try the user's checker while nothing is made; InputError if it cannot be called."""
    if run.config.evaluation.checker is not None and not any(run.state(step) == "done" for step in steps):
        _look(run, server, "check_checker")


def _check_cluster(run: RunDirectory, steps: Sequence[Step], display: Display, server: ForkServer) -> None:
    """Look at every machine that is to work for this run; InputError if one cannot. What is waited for is shown once a
    minute: it counts minutes."""
    told = ""

    def tell(event: Mapping[str, Any]) -> None:
        nonlocal told
        if event["note"] != told:
            told = event["note"]
            display.note(told)

    if run.config.compute.cluster is not None and any(run.state(step) != "done" for step in steps):
        _look(run, server, "check_cluster", tell=tell)


def _look(
    run: RunDirectory,
    server: ForkServer,
    module: str,
    *names: str,
    tell: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> None:
    """Carry out a check of `judgeloop.run` in a child, whose InputError is this process's."""
    run_child(
        [f"judgeloop.run.{module}", str(run.path), *names],
        run.path / "logs" / f"{module}.log",
        tell,
        environment=_environment(run.config),
        server=server,
    )


def _in_child(run: RunDirectory, step: Step, display: Display, server: ForkServer) -> None:
    context = Context(run, step, display.progress)
    # What M0 and M1 write is worth seeing at once, what later models write when it is done.
    waiting = ["samples"] if step.model in ("M0", "M1") else []

    def show(event: Mapping[str, Any]) -> None:
        display.progress(int(event["done"]), event["total"], str(event.get("note", "")))
        if waiting and (samples := samples_of(context, finished=False)):
            waiting.clear()
            display.samples(step, samples)

    compute, trains = run.config.compute, step.stage.trains is not None
    several = trains and _processes(run.config)[1] > 1
    ours = compute.processes if trains and distributed.processes() == 1 else 1
    # OpenVINO, which the judge of early stopping may be, ends a process with another allocator than the C library's.
    alone = compute.cluster is None and run.config.train.early_stopping.every is None
    worth = trains and alone and not has_driver() and not is_short(run, step)
    preload = allocator.preload() if worth else {}
    arguments = command(ours, compute.restarts, ["judgeloop.run.worker", str(run.path), step.name])
    if trains and compute.cluster is not None:
        arguments = ["judgeloop.run.cluster_training", str(run.path), step.name]
    run_child(
        arguments,
        run.path / "logs" / f"{step.model}.{step.label}.log",
        show,
        keep_open=[run.lock_fd] if run.lock_fd is not None else [],
        environment={**_environment(run.config, trains=trains), **preload},
        # Each of several processes has threads and a device of its own, and a fork has its server's allocator.
        server=None if several or preload else server,
    )


def _environment(config: Config, *, trains: bool = False) -> dict[str, str]:
    """What is set for the child processes, before they import anything, beside what is set for this one. Programs must
    not be asked about telemetry or reach for a hub when the model is a folder of this machine. `trains`: they are
    torchrun's processes in this one's place, or torchrun's agent, and share the threads."""
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    own = {name: value for name, value in quiet.items() if name not in os.environ}
    threads = config.threads or cores()
    if trains:
        own |= distributed.variables()
        threads = max(1, threads // _processes(config)[0])
    return {"OMP_NUM_THREADS": str(threads), **own}
