"""What a stage is, what a step is, and which steps hang together.

A stage is one thing in one place: its name, its words for a person, what it reads and writes, the config keys it
depends on, and the function that does it. A step is a stage carried out for one model of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Protocol

from judgeloop.config import Config
from judgeloop.config.choices import current_plugin
from judgeloop.errors import InputError
from judgeloop.run.samples import Samples

LOOP = "loop"  # the steps of a run directory whose run.json names no other method

Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of what a stage makes of the same inputs under the same config. What was made without it is stale where
    it `matters`: under configs whose result it changes."""

    name: str
    says: str
    matters: Callable[[Config], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class Stage:
    """One kind of work.

    `run(context)` does it and returns an `Outcome` (`stages.context`). `title` is what a person sees. `reads` names its
    inputs, `may_read` those it can do without; `loop.py` says which step gives each. `writes` names its files and
    folders in the model's folder, the artifact first; "{number}" in a name is the step's number. `keys` are the config
    keys that change what it makes, as a tuple or as a function of the config. `gives` is what later stages call its
    artifact.

    `light`: it runs in the driver, without a process of its own. `trains`: the config section of a training, which may
    run in several processes. `weights`: the folder of the model that it makes. `measures`: it measures a model; reports
    are written after it, and it is carried out for the last model too when a rule stops the run. `present`: whether a
    finished artifact can still be used, for one that names something outside the run. `only_checks`: nothing is made
    from it, so it is carried out again instead of refused if the config has changed. `content`: a field of the
    artifact (JSON) that the fingerprints of later steps hold. `recover` returns what an attempt that was killed before
    its done-marker had come to, None if it had not. `changes` are those of the stage's code since its first version.
    `shows(context, finished)` returns the `run.samples.Samples` of its rows that a person sees, None for none: called
    in the driver when it is finished, and while it runs until it returns some. `cost(known)` returns the
    `forecast.work.Work` that it will be, from a `forecast.work.Known`; None: nobody can say.
    """

    name: str
    title: str
    run: Callable[[Any], Any]
    reads: tuple[str, ...] = ()
    may_read: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    keys: Keys | Callable[[Config], Keys] = ()
    gives: str = ""
    light: bool = False
    trains: str | None = None
    weights: str | None = None
    measures: bool = False
    present: Callable[[Path], bool] | None = None
    only_checks: bool = False
    content: str | None = None
    recover: Callable[[Any], Any] | None = None
    changes: tuple[Change, ...] = ()
    shows: Callable[[Any, bool], Samples | None] | None = None
    cost: Callable[[Any], Any] | None = None
    plugin: str | None = None

    def keys_under(self, config: Config) -> Keys:
        """The keys that matter under this config."""
        return self.keys(config) if callable(self.keys) else self.keys


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a step, as the input of another."""

    step: str
    file: str


@dataclass(frozen=True, slots=True)
class Frozen:
    """A model folder of the user's in a role; no step makes it."""

    path: str


@dataclass(frozen=True, slots=True)
class Remote:
    """A model behind an endpoint in a role; `name` is what the endpoint calls it."""

    name: str


Input = Artifact | Frozen | Remote


@dataclass(frozen=True, slots=True)
class Step:
    """A stage for one model: `given` says which inputs it has under which name, `keys` which config keys matter.
    `number` tells apart the steps of one stage in one model's making ("scores.2")."""

    model: str
    stage: Stage
    keys: Keys = ()
    given: Mapping[str, tuple[Input, ...]] = field(default_factory=dict)
    number: int | None = None

    @property
    def label(self) -> str:
        """The stage's name, with the number if there is one."""
        return self.stage.name if self.number is None else f"{self.stage.name}.{self.number}"

    @property
    def name(self) -> str:
        return f"{self.model}/{self.label}"

    @property
    def light(self) -> bool:
        return self.stage.light

    @property
    def writes(self) -> tuple[str, ...]:
        """Its files and folders, relative to the model's folder."""
        return tuple(name.replace("{number}", str(self.number)) for name in self.stage.writes)

    @property
    def artifact(self) -> str:
        return self.writes[0]

    @property
    def weights(self) -> str | None:
        """The folder of the model it makes, relative to the model's folder."""
        made = self.stage.weights
        return None if made is None else made.replace("{number}", str(self.number))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the steps it is made from, each once."""
        return tuple(dict.fromkeys(i.step for each in self.given.values() for i in each if isinstance(i, Artifact)))

    def file(self, part: str | None = None) -> str:
        """The file that `part` names without its ending ("eft" for eft.jsonl), or the artifact."""
        if part is None:
            return self.artifact
        for name in self.writes:
            if part in (name, PurePath(name).stem):
                return name
        raise KeyError(f"{self.name} does not write '{part}'; it writes {', '.join(self.writes)}")

    def __getitem__(self, part: str) -> Artifact:
        """One of its files as an input of another step."""
        return Artifact(self.name, self.file(part))

    def as_input(self) -> Artifact:
        """Its artifact as an input of another step."""
        return Artifact(self.name, self.artifact)


_followers: dict[str, list[Stage]] = {}


def add_stage(stage: Stage, *, after: str) -> None:
    """Carry out a stage after each step of the stage `after`, in every run that names the plugin file.

    The stage may read what that step read, and its artifact, by the same names. If its `gives` is that of the step
    before, later stages read its artifact instead: so a stage between `judge` and `pairs` may change the scores.
    Raises InputError if a stage of this name is there already.
    """
    known = [other.name for stages in _followers.values() for other in stages]
    if stage.name in known:
        raise InputError(f"plugins: a stage '{stage.name}' is there already; give yours another name")
    _followers.setdefault(after, []).append(replace(stage, plugin=current_plugin()))


def followers(stage: Stage) -> list[Stage]:
    """The stages that plugins added after this one."""
    return list(_followers.get(stage.name, ()))


def select(steps: Sequence[Step], wanted: str) -> list[Step]:
    """The steps that `--redo` names: "M2/judge", "M2" (all of it) or "judge" (in every model)."""
    return [s for s in steps if wanted in (s.name, s.model, s.label)]


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


class Display(Protocol):
    """What the driver tells whoever looks on."""

    def superseded(self, steps: Sequence[Step], where: Path) -> None: ...
    def skipped(self, _step: Step, /) -> None: ...
    def started(self, step: Step, resumed: bool) -> None: ...
    def progress(self, done: int, total: int | None, note: str) -> None: ...
    def finished(self, step: Step, marker: Mapping[str, Any]) -> None: ...
    def failed(self) -> None: ...
    def samples(self, step: Step, found: Samples) -> None: ...
    def note(self, text: str) -> None: ...
