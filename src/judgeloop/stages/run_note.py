"""Every finished model of a run is told how it judges and how its prompts are written (`models.run_note`)."""

from __future__ import annotations

from dataclasses import asdict

from judgeloop import __version__
from judgeloop.config import EngineSection, shapes_results
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
    shapes = {name for name in EngineSection.model_fields if shapes_results(EngineSection, name)}
    engine = config.engine.model_dump(mode="json", include=shapes, exclude_none=True)
    for step in made:
        if (folder := run.weights(step)).is_dir():
            note = RunNote(step.model, __version__, run.day(), config.system_prompt, config.thinking, judge, engine)
            note.write(folder)
