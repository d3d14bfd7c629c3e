"""Every finished model of a run has a card, and the licence of its base, in its folder."""

from __future__ import annotations

from judgeloop.export.card import write_card
from judgeloop.export.licence import base_of
from judgeloop.run.directory import RunDirectory


def write_cards(run: RunDirectory) -> None:
    """Write those of M1, M2, … that are made, as the run now stands. They change no seal."""
    made = [step for step in run.steps.values() if step.weights == "model" and run.state(step) == "done"]
    if not made or not run.artifact(run.maker("M0").name).exists():  # M0's record went; `judgeloop run` says so
        return
    base = base_of(run.config.model, run.base_weights())
    for step in made:
        if (folder := run.weights(step)).is_dir():
            write_card(run.path, step.model, folder, base)
            base.copy_licence(folder)
