"""What runs a command's models: its options, and where they say nothing, what the run that made a model says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import typer

from judgeloop.config import EngineSection, configure, validated
from judgeloop.errors import InputError
from judgeloop.models.run_note import RunNote

_SECTION = "engine."


def engine_options(kind: str | None, overrides: Sequence[str] | None) -> dict[str, Any]:
    """The keys of the section `engine` that --engine and --set name, with their values. Raises InputError for any other
    key, and for a value that cannot be."""
    keys = [override.partition("=")[0].strip() for override in overrides or []]
    for override, key in zip(overrides or [], keys, strict=True):
        if not key.startswith(_SECTION):
            known = ", ".join(f"{_SECTION}{name}" for name in EngineSection.model_fields)
            raise InputError(f"--set {override}: has no part in this command; the keys are {known}")
    section = configure(overrides or [], "options", seedless=True).engine
    given = {} if kind is None else {"kind": kind}
    return given | {name: getattr(section, name) for name in (key.split(".")[1] for key in keys)}


def engine_for(note: RunNote | None, given: Mapping[str, Any]) -> EngineSection:
    """The section `engine` for a model whose folder has the `note` of a run, said on stderr if the run decides."""
    return validated(EngineSection, **{**engine_of_run(note, given), **given})


def engine_of_run(note: RunNote | None, given: Collection[str]) -> dict[str, Any]:
    """What a run's note says of the section `engine` and is not `given` otherwise; what is no default is said."""
    if note is None or note.engine is None:
        return {}
    taken = {name: value for name, value in note.engine.items() if name not in given}
    plain = EngineSection()
    told = [f"{_SECTION}{name} {value}" for name, value in taken.items() if value != getattr(plain, name, None)]
    if told:
        said = f"note: {note.name} is run as in its run: {', '.join(told)}; --engine or --set says otherwise"
        typer.echo(said, err=True)
    return taken


def identity(engine: EngineSection) -> dict[str, Any]:
    """What tells rows of one engine from those of another, in the settings of a file of rows."""
    return {"engine": engine.kind, **({"precision": engine.precision} if engine.precision != "default" else {})}
