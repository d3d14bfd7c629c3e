"""The steps of a method as they are written down, and who plays which role in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from judgeloop.config import Config
from judgeloop.errors import InputError
from judgeloop.run.stage import Frozen, Input, Remote, Stage, Step, followers

OUTSIDE = "openai:"
Given = Step | Input | Sequence[Step] | None
_MADE = re.compile(r"M\d+")


class Plan:
    """Steps in order. `step` adds one; `role` says what plays a role that the config names."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.steps: list[Step] = []

    def step(self, stage: Stage, model: str, number: int | None = None, **given: Given) -> Step:
        """Add a step with its inputs by name, and the stages that plugins put after it; return the last of those that
        gives the same. An input that is None is one that this config has not."""
        inputs = {name: _inputs(value) for name, value in given.items() if value is not None}
        unknown = inputs.keys() - {*stage.reads, *stage.may_read}
        missing = set(stage.reads) - inputs.keys()
        if unknown or missing:
            raise ValueError(f"{model}/{stage.name}: is given {sorted(unknown)} and not {sorted(missing)}")
        found = last = Step(model, stage, stage.keys_under(self.config), inputs, number)
        self._add(found)
        known = {**inputs, stage.gives or stage.name: (found.as_input(),)}
        for follower in followers(stage):
            last = self._follow(follower, model, known)
            known[follower.gives or follower.name] = (last.as_input(),)
            if (follower.gives or follower.name) == (stage.gives or stage.name):
                found = last
        return found

    def _follow(self, stage: Stage, model: str, known: dict[str, tuple[Input, ...]]) -> Step:
        missing = set(stage.reads) - known.keys()
        if missing:
            raise InputError(f"plugins: stage '{stage.name}' reads {sorted(missing)}; there are {sorted(known)}")
        given = {name: known[name] for name in (*stage.reads, *stage.may_read) if name in known}
        step = Step(model, stage, stage.keys_under(self.config), given)
        self._add(step)
        return step

    def _add(self, step: Step) -> None:
        if any(step.name == other.name for other in self.steps):
            raise InputError(f"plugins: there is a stage '{step.label}' already; give yours another name")
        self.steps.append(step)

    def role(self, key: str, role: str, current: Step) -> Step | Frozen | Remote:
        """What plays the role that the config key `key` gives: the current model, the one before it (`previous`), an
        earlier one by its name, a model folder of the user's, or a model behind an endpoint (`openai:NAME`).

        Raises InputError if there is no such model when `current` needs it.
        """
        if role == "current":
            return current
        if role == "previous":
            role = f"M{int(current.model[1:]) - 1}"
        if role == OUTSIDE:
            raise InputError(f"{key}: {role} names no model; write {OUTSIDE}NAME, the endpoint's name of it")
        if role.startswith(OUTSIDE):
            if not self.config.endpoint.url:
                raise InputError(f"endpoint.url: {key} is {role}; name the API's base URL")
            return Remote(role)
        if _MADE.fullmatch(role):
            made = next((s for s in self.steps if s.model == role and s.weights in ("", "model")), None)
            if made is None:
                raise InputError(
                    f"{key}: {role} does not exist yet when {current.model} needs it; name an earlier model"
                )
            return made
        if not (Path(role) / "config.json").is_file():
            raise InputError(f"{key}: '{role}' is neither current, M0, M1, … nor a model folder; name one of these")
        return Frozen(role)


def made_later(role: str) -> bool:
    """Whether a role names a model that is trained in the run."""
    return _MADE.fullmatch(role) is not None and role != "M0"


def _inputs(value: Step | Input | Sequence[Step]) -> tuple[Input, ...]:
    if isinstance(value, Step):
        return (value.as_input(),)
    if isinstance(value, Sequence):
        return tuple(step.as_input() for step in value)
    return (value,)
