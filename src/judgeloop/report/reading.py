"""Read a run directory as it is: whole, half done, or left behind by a crash.

What is missing is None or empty. What exists but cannot be read is named in `problems`, never skipped in silence.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from judgeloop.artifacts import damage
from judgeloop.errors import InputError


class RunFiles:
    """The files of one run. `problems` collects one line for each file that is damaged."""

    def __init__(self, path: Path) -> None:
        if not (path / "run.json").is_file() and not any(path.glob("M[0-9]*")):
            raise InputError.at(path, None, "is not a run directory", "give the folder that 'judgeloop run' wrote")
        self.path = path
        self.problems: list[str] = []
        self._config: dict[str, Any] | None = None
        self.run = self.json("run.json", whole=False) or {}

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)

    def models(self) -> list[str]:
        """The models that the run makes, in order; those found on disk if run.json does not say."""
        named = self.run.get("models")
        if isinstance(named, list) and named and all(isinstance(n, str) and re.fullmatch(r"M\d+", n) for n in named):
            return [str(name) for name in named]
        found = [p.name for p in self.path.iterdir() if re.fullmatch(r"M\d+", p.name) and p.is_dir()]
        return sorted(found, key=lambda name: int(name[1:]))

    def text(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            self._problem(f"{name} cannot be read")
            return None

    def json(self, name: str, *, whole: bool = True) -> dict[str, Any] | None:
        """A JSON object, or None if the file is not there or damaged: not `whole`, it may lack keys."""
        text = self.text(name)
        if text is None:
            return None
        try:
            value = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self._problem(f"{name} is damaged")
            return None
        wrong = damage(name.rpartition("/")[2], value)
        if wrong is not None and (whole or not wrong.startswith("it has no")):
            self._problem(
                f"{name} is damaged: it {wrong}" if wrong.startswith("has") else f"{name} is damaged: {wrong}"
            )
            return None
        return value

    def config(self) -> dict[str, Any]:
        """The run's config as config.yaml has it; empty if it cannot be read."""
        if self._config is None:
            try:
                value = yaml.safe_load(self.text("config.yaml") or "")
            except yaml.YAMLError:
                value = None
            self._config = value if isinstance(value, dict) else {}
        return self._config

    def section(self, name: str) -> dict[str, Any]:
        """One section of the run's config; empty if it is not there."""
        value = self.config().get(name)
        return value if isinstance(value, dict) else {}

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The objects of a JSONL file. A last line without newline is a row still being written and is left out."""
        try:
            handle = (self.path / name).open("rb")
        except FileNotFoundError:
            return
        except OSError:
            self._problem(f"{name} cannot be read")
            return
        broken = 0
        with handle:
            for raw in handle:
                if not raw.endswith(b"\n") or not raw.strip():
                    continue
                try:
                    value = json.loads(raw)
                except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
                    value = None
                if isinstance(value, dict):
                    yield value
                else:
                    broken += 1
        if broken:
            self._problem(f"{name} has {broken} damaged line{'s' if broken > 1 else ''}")

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def finished_stages(self, model: str) -> list[dict[str, Any]]:
        """`{"stage", "title", "seconds"}` of every stage that is done, in the order of the run's plan. A done-marker
        without `order` or `title` is placed by the time when it was written, and called by the stage's name."""
        found = []
        for stage in self._marked(model, "done"):
            marker = self.json(f"{model}/.{stage}.done.json") or {}
            if isinstance(marker.get("seconds"), (int, float)):
                order = marker.get("order")
                place = order if isinstance(order, (int, float)) else math.inf
                entry = {
                    "stage": stage,
                    "title": str(marker.get("title") or stage),
                    "seconds": float(marker["seconds"]),
                }
                found.append((place, str(marker.get("finished", "")), stage, entry))
        return [entry for *_, entry in sorted(found, key=lambda each: each[:3])]

    def under_way(self) -> list[str]:
        """Stages begun and not finished, as "M2/judge"."""
        return [
            f"{model}/{stage}"
            for model in self.models()
            for stage in self._marked(model, "begun")
            if not self.has(f"{model}/.{stage}.done.json")
        ]

    def _marked(self, model: str, kind: str) -> list[str]:
        """Stages with a marker of this kind in the model's folder."""
        names = sorted(path.name for path in (self.path / model).glob(f".*.{kind}.json"))
        return [name[1 : -len(f".{kind}.json")] for name in names]
