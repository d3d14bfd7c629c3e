"""What every stage is given: the run, its step's inputs by name, its outputs, and a way to say how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from judgeloop.config import Config, SamplingSection
from judgeloop.engines.base import Sampling
from judgeloop.jsonl import each_row
from judgeloop.records import Message, Prompt, RankedSet
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.stage import Artifact, Frozen, Input, Remote, Step
from judgeloop.stages.models import Model

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Progress = Callable[[int, "int | None", str], None]
R = TypeVar("R", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished stage says of its work, for the done-marker: at least `rows`."""

    account: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """One step of one run. `progress(done, total, note)` may be called as often as wanted."""

    run: RunDirectory
    step: Step
    progress: Progress

    @property
    def config(self) -> Config:
        return self.run.config

    @property
    def folder(self) -> Path:
        return self.run.folder(self.step.model)

    def iteration(self) -> int:
        """1 for the steps that make M2."""
        return int(self.step.model[1:]) - 1

    # Inputs ----------------------------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether this run has the input, which the stage may do without."""
        return name in self.step.given

    def path(self, name: str) -> Path:
        """The file of an input."""
        (given,) = self._artifacts(name)
        return self.run.folder_of(given.step) / given.file

    def rows(self, name: str, kind: type[R]) -> list[R]:
        """The rows of an input, of all its steps if there are several; none if the run has no such input."""
        return list(self.each_row(name, kind))

    def each_row(self, name: str, kind: type[R]) -> Iterator[R]:
        """`rows` one after another, for what is large and needed once."""
        for given in self._artifacts(name):
            yield from each_row(self.run.folder_of(given.step) / given.file, kind)

    def json(self, name: str) -> dict[str, Any]:
        """The JSON object of an input."""
        return read_json(self.path(name))

    def maker(self, name: str) -> str | None:
        """The model in whose making the input was made ("M1"); None if the run has no such input."""
        given = self._artifacts(name)
        return given[0].step.partition("/")[0] if given else None

    def given_by(self, name: str) -> Step:
        """The step whose file the input is."""
        (given,) = self._artifacts(name)
        return self.run.steps[given.step]

    def role(self, name: str) -> Input:
        """What plays a role: a step's model, a frozen one, one behind an endpoint."""
        return self.step.given[name][0]

    def model(self, name: str) -> Model:
        """The model that plays a role, to be loaded here. Raises TypeError for one behind an endpoint."""
        played = self.role(name)
        if isinstance(played, Remote):
            raise TypeError(f"{played.name} is behind an endpoint")
        if isinstance(played, Frozen):
            return Model.frozen(self.run, played.path, self.step)
        return Model.made(self.run, self.run.steps[played.step], self.step)

    def _artifacts(self, name: str) -> list[Artifact]:
        if name not in (*self.step.stage.reads, *self.step.stage.may_read):
            raise KeyError(f"{self.step.name} does not say that it reads '{name}'")
        return [given for given in self.step.given.get(name, ()) if isinstance(given, Artifact)]

    # Outputs ---------------------------------------------------------------------------------------------------------

    def output(self, part: str | None = None) -> Path:
        """A file or folder that the stage says it writes: the artifact, or the one that `part` names."""
        return self.folder / self.step.file(part)


def sampling(section: SamplingSection) -> Sampling:
    """The config's section as the engines take it."""
    return Sampling(section.max_new_tokens, section.temperature, section.top_p, section.top_k)


def evaluation_prompts(context: Context) -> list[Prompt]:
    """The held-out prompts every model is evaluated on: files of the config, or the held-out part of the seed."""
    section = context.config.evaluation
    held_out = [] if section.prompts else context.rows("held_out", RankedSet)
    return kept_from_training(context.config, held_out)[: section.count]


def kept_from_training(config: Config, held_out: Sequence[RankedSet]) -> list[Prompt]:
    """All prompts of evaluation.prompts, or without any those of the seed's held-out part, each once."""
    from judgeloop.data.readers import read_prompts

    files = config.evaluation.prompts
    if files:
        prompts = [prompt for path in files for prompt in read_prompts(Path(path))[0]]
    else:
        prompts = [Prompt.of(ranked.messages, "held out") for ranked in held_out]
    return list({prompt.id: prompt for prompt in prompts}.values())


def last_words(messages: list[Message]) -> str:
    """The last user turn, which is what the prompt asks."""
    return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
