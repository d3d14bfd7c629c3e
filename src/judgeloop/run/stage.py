"""What a step is, and which steps hang together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LOOP = "loop"  # the steps of a run directory whose run.json names no other method


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of one model: `artifact` (in the model's folder) is made from the artifacts of `inputs` under the
    config keys `keys` (whole sections or single fields). Light steps run in the driver, the others in a child."""

    model: str
    stage: str
    artifact: str
    keys: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    light: bool = False

    @property
    def name(self) -> str:
        return f"{self.model}/{self.stage}"

    @property
    def kind(self) -> str:
        """The stage without its number: "scores" for "scores.2", of which one model's making has several."""
        return self.stage.partition(".")[0]


def select(steps: Sequence[Step], wanted: str) -> list[Step]:
    """The steps that `--redo` names: "M2/judge", "M2" (all of it) or "judge" (in every model)."""
    return [s for s in steps if wanted in (s.name, s.model, s.stage)]


def downstream(steps: Sequence[Step], roots: Sequence[Step]) -> list[Step]:
    """The roots and every step made from them, in order."""
    names = {s.name for s in roots}
    found = []
    for step in steps:
        if step.name in names or names & set(step.inputs):
            names.add(step.name)
            found.append(step)
    return found


def upstream(steps: Sequence[Step], name: str) -> list[Step]:
    """The step of that name and every step it is made from, in order."""
    names = {name}
    found = []
    for step in reversed(steps):
        if step.name in names:
            names |= set(step.inputs)
            found.append(step)
    return found[::-1]
