"""What every stage is given: the run, the config, the step it makes, and a way to say how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.config import Config, SamplingSection
from judgeloop.engines.base import Engine, Sampling
from judgeloop.errors import InputError
from judgeloop.jsonl import read_rows
from judgeloop.models.chat import Chat
from judgeloop.records import Candidate, Message, Prompt, RankedSet
from judgeloop.run.directory import RunDirectory, read_json
from judgeloop.run.stage import Step

Progress = Callable[[int, "int | None", str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished stage leaves: row files to be sealed in the done-marker, and its account of numbers."""

    files: tuple[str, ...]
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

    def current(self) -> str:
        """The model that makes the next one: M1 for the steps in M2's folder."""
        return f"M{self.iteration()}"

    def weights(self, model: str) -> Path:
        """The folder of M0, M1, …, or of a frozen model that the config names."""
        return self.run.model_folder(model) if model in self.models() else Path(model)

    def models(self) -> set[str]:
        return {step.model for step in self.run.steps.values()}

    def chat(self, model: str = "M0", *, system_prompt: str | None = None) -> Chat:
        """The run's chat template: M0's, which every later model keeps; a frozen model brings its own. `system_prompt`
        stands in for the run's."""
        ours = model in self.models()
        return Chat.load(
            self.weights("M0") if ours else Path(model),
            chat_template=self.config.chat_template if ours else None,
            system_prompt=self.config.system_prompt if system_prompt is None else system_prompt,
            thinking=self.config.thinking if ours else "auto",
            date=self._date(),
            trust_remote_code=self.config.trust_remote_code,
        )

    def _date(self) -> str | None:
        """The day that templates are told: the one on which the run found M0."""
        path = self.run.folder("M0") / "model.json"
        return read_json(path).get("date") if path.exists() else None

    def engine(self, model: str, chat: Chat) -> Engine:
        """Load a model for generation and judging; converted weights are kept beside it in the run."""
        from judgeloop.engines import open_engine

        folder = self.weights(model)
        if not (folder / "config.json").is_file():
            raise InputError(f"{folder}: is not a model folder (no config.json); check the model's name or path")
        ours = model in self.models()
        work = self.run.folder(model) / "engine" if ours else self.run.path / "engines" / folder.name
        return open_engine(
            self.config.engine,
            folder,
            chat,
            work_dir=work,
            threads=self.config.threads,
            seed=self.config.seed,
            trust_remote_code=self.config.trust_remote_code,
        )


def sampling(section: SamplingSection) -> Sampling:
    """The config's section as the engines take it."""
    return Sampling(section.max_new_tokens, section.temperature, section.top_p, section.top_k)


def evaluation_prompts(run: RunDirectory) -> list[Prompt]:
    """The held-out prompts every model is evaluated on: files of the config, or the held-out part of the seed."""
    from judgeloop.data.readers import read_prompts

    section = run.config.evaluation
    if section.prompts:
        prompts = [prompt for path in section.prompts for prompt in read_prompts(Path(path))[0]]
    else:
        prompts = [Prompt.of(ranked.messages, "held out") for ranked in held_out_sets(run)]
    unique = {prompt.id: prompt for prompt in prompts}
    return list(unique.values())[: section.count]


def held_out_sets(run: RunDirectory) -> list[RankedSet]:
    """The seed's ranked sets that nothing was trained on."""
    return read_rows(run.folder("M1") / "held_out.jsonl", RankedSet)


def read_anchors(folder: Path) -> list[Candidate]:
    """Responses of an earlier model to the prompts of one iteration, where the config asked for them."""
    path = folder / "anchors.jsonl"
    return read_rows(path, Candidate) if path.exists() else []


def last_words(messages: list[Message]) -> str:
    """The last user turn, which is what the prompt asks."""
    return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
