"""Models are sealed by the hash that was written down when they were made: what plays a role is what was made, and what
is gone is made anew only by the user's word.

A model made anew on another machine is another model. So nothing is quietly remade under what was made from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from judgeloop.errors import InputError
from judgeloop.models.contents import beside_hash, content_hash
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.stage import Step, downstream


def gone(run: RunDirectory, steps: Sequence[Step]) -> set[str]:
    """Names of the steps that were finished and whose artifact, or model, is no longer there: by their own done-marker,
    or by that of a step that was made from them."""
    found = set()
    for step in steps:
        finished = run.marker(step, "done").exists()
        if finished and step.weights:
            if not (run.weights(step) / "config.json").is_file():
                found.add(step.name)
        elif not finished and any(run.marker(later, "done").exists() for later in downstream(steps, [step])[1:]):
            found.add(step.name)
    return found


def check(run: RunDirectory, step: Step, missing: set[str]) -> None:
    """Raise InputError if the step reads something that is gone, or a model that is not what was made."""
    for name in step.inputs:
        if name in missing:
            made = run.steps[name]
            what = run.weights(made) if made.weights else run.artifact(name)
            raise InputError(
                f"{what}: is gone and {step.name} reads it; put it back, or make it and all that was made from it anew "
                f"with --redo {name}"
            )
    models = [run.steps[name] for name in step.inputs if run.steps[name].weights is not None]
    if not step.light and run.maker("M0") not in models and step.stage is not run.maker("M0").stage:
        models.append(run.maker("M0"))  # every model has its tokenizer and chat template
    for made in models:
        verify(run, made)


def verify(run: RunDirectory, made: Step) -> None:
    """Raise InputError if the folder of a model that the run made, or found, is not what its record says."""
    if not run.marker(made, "done").exists():
        return  # it is still to be made, though its record may be there: a kill came between the two
    said, folder = read_json(run.record(made)), run.weights(made)
    if not made.weights and not folder.exists():
        return  # M0 is looked for anew, and what is found compared with what it was
    remedy = f"put it back, or make it anew with --redo {made.name}"
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: the model of {made.name} is gone; {remedy}")
    for name, digest, what in (
        ("hash", content_hash, "weights, config or tokenizer"),
        ("beside", beside_hash, "generation_config.json or code"),
    ):
        if name in said and said[name] != digest(folder):
            raise InputError(f"{folder}: its {what} changed since {made.name} finished; {remedy}")


def sealed(folder: Path) -> dict[str, str]:
    """What `verify` compares a model's folder with, for its record."""
    return {"hash": content_hash(folder), "beside": beside_hash(folder)}
