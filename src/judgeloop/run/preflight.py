"""What would end a run later is said before anything is made: no GPU, no engine, a stale step, an unfit model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from judgeloop.compute.cluster import require_ray
from judgeloop.compute.forks import ForkServer
from judgeloop.compute.torchrun import require_gpus
from judgeloop.errors import InputError
from judgeloop.models.check_folder import require_layers
from judgeloop.models.hardware import require_gpu_settings
from judgeloop.run import seals, stopping
from judgeloop.run.children import look, processes
from judgeloop.run.directory import RunDirectory, read_facts
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.other_ranks import require_share
from judgeloop.run.stage import Display, Step, downstream
from judgeloop.stages.players import outside_roles
from judgeloop.stages.served import require_adapters
from judgeloop.training import distributed


def refuse_without_gpu(run: RunDirectory, steps: Sequence[Step], roots: Sequence[Step]) -> None:
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
        here, all_of_them = processes(run.config)
        require_share(run.config.compute.sharding, all_of_them)
        if here > 1:
            require_gpus(here)


def refuse_without_engine(run: RunDirectory, steps: Sequence[Step], roots: Sequence[Step]) -> None:
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


def refuse_other(run: RunDirectory, method: str) -> None:
    """One folder, one method."""
    found = read_facts(run.path)["method"] if (run.path / "run.json").exists() else method
    if found != method:
        raise InputError.at(run.path, None, f"holds the steps of '{found}', not of '{method}'", "choose another --out")


def refuse_stale(run: RunDirectory, steps: Sequence[Step]) -> None:
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


def refuse_changed_models(run: RunDirectory, steps: Sequence[Step], gone: set[str]) -> None:
    """What an open step lacks is named now, not when its turn comes, maybe after hours. Steps after the end of a run
    that a rule stopped are not open."""
    decided = run.path / stopping.FILE
    if decided.exists() and read_json(decided).get("stopped"):
        return
    for step in steps:
        if step.name not in gone and run.state(step) != "done":
            seals.check(run, step, gone)


def refuse_too_many_frozen_layers(run: RunDirectory, steps: Sequence[Step]) -> None:
    """InputError if a training that is still to come freezes more layers than M0 has to spare: said once M0's folder is
    known, before anything is trained."""
    keys = sorted({key for step in steps if (key := step.stage.trains) and run.state(step) != "done"})
    frozen = {f"{key}.freeze_layers": attrgetter(key)(run.config).freeze_layers for key in keys}
    if any(frozen.values()):
        require_layers(run.base_weights(), frozen)


def check_players(run: RunDirectory, steps: Sequence[Step], server: ForkServer) -> None:
    """Look at the models that no step makes, in the roles that they have yet to play; InputError if one cannot."""
    owed = [step for step in steps if run.state(step) != "done"]
    if names := list(dict.fromkeys(step.name for step, _, _ in outside_roles(owed))):
        look(run, server, "check_players", *names)


def check_served(run: RunDirectory, steps: Sequence[Step], server: ForkServer) -> None:
    """Try the server that is the run's engine; InputError if it cannot be that."""
    owed = (step for step in steps if run.state(step) != "done")
    if run.config.engine.kind == "server" and any("engine.kind" in step.keys for step in owed):
        look(run, server, "check_served")


def check_checker(run: RunDirectory, steps: Sequence[Step], server: ForkServer) -> None:
    """Try the user's checker while nothing is made; InputError if it cannot be called."""
    if run.config.evaluation.checker is not None and not any(run.state(step) == "done" for step in steps):
        look(run, server, "check_checker")


def check_cluster(run: RunDirectory, steps: Sequence[Step], display: Display, server: ForkServer) -> None:
    """Look at every machine that is to work for this run; InputError if one cannot. What is waited for is shown once a
    minute: it counts minutes."""
    told = ""

    def tell(event: Mapping[str, Any]) -> None:
        nonlocal told
        if event["note"] != told:
            told = event["note"]
            display.note(told)

    if run.config.compute.cluster is not None and any(run.state(step) != "done" for step in steps):
        look(run, server, "check_cluster", tell=tell)
