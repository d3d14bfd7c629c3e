"""What a model of a run says about the run that made it, in `judgeloop_run.json` of its folder: by which rubric it
judges, and how its prompts are written. Commands that are given the folder take it from there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from judgeloop.artifacts import damage
from judgeloop.config.tree import Thinking
from judgeloop.errors import InputError
from judgeloop.jsonl import write_text_atomically
from judgeloop.models.facts import read_json_object

FILE = "judgeloop_run.json"


@dataclass(frozen=True, slots=True)
class RunNote:
    """`name` is M1, M2, …; `date` the day that chat templates are told; `judge` the rubric with its text and the
    settings of the run's section `judge`; `engine` what of the section `engine` shapes results (None: an earlier
    version wrote it). `judgeloop` is the version that wrote it."""

    name: str
    judgeloop: str
    date: str | None
    system_prompt: str | None
    thinking: Thinking
    judge: dict[str, Any]
    engine: dict[str, Any] | None = None

    def write(self, folder: Path) -> None:
        """Write it into a model's folder, unless that says so already."""
        path = folder / FILE
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text_atomically(path, text)


def read_note(folder: Path) -> RunNote | None:
    """The note in a model's folder, None without one. Raises InputError if it is damaged."""
    path = folder / FILE
    if not path.is_file():
        return None
    value = read_json_object(path)
    if (wrong := damage(FILE, value)) is not None:
        raise InputError.at(path, None, wrong, "restore the file, or remove it to go without")
    return RunNote(**{name: value[name] for name in RunNote.__dataclass_fields__ if name in value})
