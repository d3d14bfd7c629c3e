"""Every finished model of a run is told how it judges and how its prompts are written (`models.run_note`)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from judgeloop import __version__
from judgeloop.config import Section, as_before, shapes_results
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.run_note import RunNote
from judgeloop.run.directory import RunDirectory

ASKED = {"rubric", "role", "function", "meta"}  # what is not a setting of how it judges


def write_notes(run: RunDirectory) -> None:
    """Write `judgeloop_run.json` into the folders of M1, M2, … that are made and do not have it."""
    config = run.config
    made = [step for step in run.steps.values() if step.weights == "model" and run.state(step) == "done"]
    if not made:
        return
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    judge = {"rubric": asdict(rubric), **config.judge.model_dump(mode="json", exclude=ASKED)}
    engine = shaping(config.engine)
    for step in made:
        if (folder := run.weights(step)).is_dir():
            note = RunNote(step.model, __version__, run.day(), config.system_prompt, config.thinking, judge, engine)
            note.write(folder)


def shaping(section: Section) -> dict[str, Any]:
    """What of a section shapes results, without what is not set."""
    found: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            found |= {name: inner} if (inner := shaping(value)) else {}
        elif value is not None and shapes_results(type(section), name) and not as_before(section, name):
            found[name] = value
    return found
