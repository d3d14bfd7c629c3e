"""What a run may take over from other runs of its seed: every finished step that it would carry out on the same inputs
with the same settings. So M1, its evaluation and its candidates are made once for all arms that do not touch them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from judgeloop.config import Config
from judgeloop.loop import method
from judgeloop.run.circumstances import KEY, difference
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.stage import Step


def share(sources: Sequence[Path], target: Path, config: Config) -> list[str]:
    """Hard links in `target` to each finished step of the first source that has it, made from what `target` has too;
    return the names of those steps. A step whose weights were deleted is not taken over."""
    steps = method(config)
    run = RunDirectory(target, config, steps)
    target.mkdir(parents=True, exist_ok=True)
    (target / ".lock").touch()  # what tells a run directory from a folder of other things
    taken = []
    for step in steps:
        if run.state(step) != "missing":
            continue
        for source in sources:
            if source != target and _fits(run, step, source) and _link(run, step, source):
                taken.append(step.name)
                break
    return taken


def _fits(run: RunDirectory, step: Step, source: Path) -> bool:
    theirs = source / step.model / f".{step.label}.done.json"
    if not theirs.exists():
        return False
    made, expected = read_json(theirs), run.expected(step)
    if made["fingerprint"] != expected["fingerprint"] or difference(made.get(KEY, {}), step, expected[KEY]):
        return False
    if step.weights and not (source / step.model / step.weights / "config.json").is_file():
        return False
    inputs = [(run.marker(run.steps[name], "done"), source / run.steps[name].model) for name in step.inputs]
    return all(mine.exists() and _same(mine, folder / mine.name) for mine, folder in inputs)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()


def _link(run: RunDirectory, step: Step, source: Path) -> bool:
    """The marker last, so that a kill in between leaves a step that is to be done."""
    theirs, mine = source / step.model, run.folder(step.model)
    for name in step.writes:
        for path in [theirs / name, *sorted((theirs / name).rglob("*"))]:
            copy = mine / path.relative_to(theirs)
            if path.is_file() and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, copy)
    os.link(theirs / run.marker(step, "done").name, run.marker(step, "done"))
    return True


def shared_models(config: Config, others: Sequence[Config], folder: Path) -> set[str]:
    """The models of a run that the other runs would make in the same way, by their fingerprints."""

    def trained(one: Config) -> dict[str, str]:
        steps = method(one)
        run = RunDirectory(folder, one, steps)
        return {step.model: run.fingerprint_of(step) for step in steps if step.weights == "model"}

    wanted = {found for other in others for found in trained(other).items()}
    return {name for name, found in trained(config).items() if (name, found) in wanted}


def forget_weights(folder: Path, keep: set[str]) -> None:
    """Delete the weights of all models but those named, and of those but M1 what an engine made of them."""
    for model in sorted(folder.glob("M*")):
        if model.name not in keep:
            shutil.rmtree(model / "model", ignore_errors=True)
        shutil.rmtree(model / "provisional" / "model", ignore_errors=True)  # nothing is made from it later
        shutil.rmtree(model / "provisional" / "engine", ignore_errors=True)
        if model.name != "M1":
            shutil.rmtree(model / "engine", ignore_errors=True)
