"""How a judge was taught to judge: what commands take from the note in its folder where their options say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer

from judgeloop.config import JudgeSection
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.run_note import RunNote

_SHAPE = ("scoring", "justification", "language")  # other settings are how often and how surely it is asked


@dataclass(frozen=True, slots=True)
class LearntJudge:
    """`name` is the model's in its run (M2), `system_prompt` and `date` what its prompts have there; `rubric` has the
    text that it learnt; `settings` are those of the run's section `judge`, the rubric left out; all from the `note` in
    its folder."""

    note: RunNote
    rubric: Rubric
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.note.name

    @property
    def system_prompt(self) -> str | None:
        return self.note.system_prompt

    @property
    def date(self) -> str | None:
        return self.note.date

    def section(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The section `judge` as it was learnt, with what is `given` (and not None) in its place."""
        asked = {key: value for key, value in given.items() if value is not None}
        found = {"rubric": self.rubric.name, **self.settings, **asked}
        if any(found[name] != self.settings[name] for name in ("scoring", "justification", "samples")):
            found["max_samples"] = None  # it fits how judgements were written in the run
        return found

    def rubric_for(self, config: JudgeSection) -> Rubric:
        """The rubric that the config names: the text that was learnt, if it is that one."""
        same = (config.rubric, config.language) == (self.rubric.name, self.settings["language"])
        return self.rubric if same else load_rubric(config.rubric, config.language)

    def contradict(self, config: JudgeSection) -> None:
        """Say on stderr what is asked otherwise than was learnt."""
        asked = self.rubric_for(config)
        differs = [
            f"{name} {getattr(config, name)} (learnt: {self.settings[name]})"
            for name in _SHAPE
            if getattr(config, name) != self.settings[name]
        ]
        same = (asked.template, asked.score_line, asked.scores) == (
            self.rubric.template, self.rubric.score_line, self.rubric.scores,
        )  # fmt: skip
        if not same and (asked.name != self.rubric.name or not differs):
            differs.insert(0, f"rubric {asked.name} (learnt: {self.rubric.name})")
        if differs:
            typer.echo(
                f"note: {self.name} learnt to judge otherwise than it is asked now: {', '.join(differs)}; its scores "
                "are not those of its run. Leave the options out to judge as it learnt",
                err=True,
            )


def learnt_judge(model: str | None, *, endpoint: bool = False, revision: str | None = None) -> LearntJudge | None:
    """What the folder of a model says of how it judges; None for a model that no run made, or behind an endpoint."""
    if model is None or endpoint:
        return None
    from judgeloop.models.resolve import resolve
    from judgeloop.models.run_note import read_note

    note = read_note(resolve(model, revision=revision).path)
    if note is None:
        return None
    settings = dict(note.judge)
    about = settings.pop("rubric")
    return LearntJudge(note, Rubric(**{**about, "fences": tuple(about["fences"])}), settings)


def judge_section(learnt: LearntJudge | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the section `judge`: what is `given` and not None; else what was learnt, or without that the rubric
    that fits how the judge is asked."""
    if learnt is not None:
        return learnt.section(given)
    written = given.get("scoring") == "sampled" or given.get("justification")
    fitting = {"rubric": "additive-5" if written else "additive-5-direct"}
    return fitting | {key: value for key, value in given.items() if value is not None}
