"""A run told to trackers while it goes: each step as it is finished, each training step's losses, samples.

All that is told is read from the run directory, in the driver, so the trackers hear of trainings in child processes,
of several processes and of what was done before they were asked for. `tracking.json` in the run directory says what
each has heard. So a run that is resumed goes on in the same place, and nothing is told twice but what a kill cut off.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from judgeloop.config import Config
from judgeloop.errors import InputError
from judgeloop.run.directory import RunDirectory, read_facts
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.run.samples import Samples
from judgeloop.run.stage import Display, Step
from judgeloop.tracking.base import TrackedRun, Tracker, kind_of, require_packages
from judgeloop.tracking.figures import figures, number_of, tables

FILE = "tracking.json"
_WRITE = 5.0  # seconds between notes of the losses that were told


def trackers_of(config: Config, trains: str | None = None) -> tuple[str, ...]:
    """The trackers of the whole run, and those of one training's losses if its section names more."""
    named = config.report_to
    if trains is not None:
        section: Any = config
        for part in trains.split("."):
            section = getattr(section, part)
        named += section.report_to
    return tuple(dict.fromkeys(named))


def check_trackers(config: Config) -> None:
    """Raises InputError if a tracker of the config has no package installed."""
    require_packages(_all(config))


def _all(config: Config) -> tuple[str, ...]:
    sections = ("sft", "train", "backtranslation.sft")
    return tuple(dict.fromkeys(name for section in sections for name in trackers_of(config, section)))


class Tracked:
    """A display of the driver that tells the run's trackers too. Without any it is the display it is given."""

    def __init__(self, display: Display, run: RunDirectory) -> None:
        """Open the run in its trackers. Raises InputError if one of them cannot be written."""
        self._display = display
        self._run = run
        self._trackers: dict[str, Tracker] = {}
        self._known: dict[str, Any] = {}
        self._losses = _Losses(run.path / "metrics.jsonl")
        self._step: Step | None = None
        self._written = 0.0
        names = _all(run.config)
        if not names:
            return
        path = run.path / FILE
        self._known = read_json(path) if path.exists() else {"id": _own_id(run.path), "trackers": {}}
        section = run.config.tracking
        name = section.name or f"{run.path.resolve().name}-{self._known['id'][:6]}"
        tree = run.config.model_dump(mode="json")
        tracked = TrackedRun(self._known["id"], name, section.project, run.path.resolve(), tree)
        for tracker in names:
            heard = self._heard(tracker)
            for told in (heard["steps"], heard["losses"]):  # what was moved away is made anew and told anew
                for step in [step for step in told if not self._is_there(step)]:
                    del told[step]
            try:
                self._trackers[tracker] = kind_of(tracker).open(tracked, heard["handle"])
            except Exception as error:
                self.close(finished=False)
                problem = " ".join(str(error).split()) or type(error).__name__
                raise InputError(
                    f"report_to: {tracker} cannot be opened ({problem}); mend that, or leave it out"
                ) from error
            display.note(f"{tracker}: {section.project} / {name}; {self._trackers[tracker].where}")
        self._write()

    def close(self, *, finished: bool) -> None:
        """Close the run in all trackers; `finished`: it did all its steps."""
        decided = self._run.path / "decision.json"
        text = decided.read_text(encoding="utf-8") if finished and decided.exists() else None
        for name, tracker in list(self._trackers.items()):
            heard = self._heard(name)
            if text is not None and heard["decision"] != text and name in self._run.config.report_to:
                self._tell(name, partial(tracker.text, "decision", f"```json\n{text}```"))
                heard["decision"] = text
            self._tell(name, partial(tracker.close, finished=finished))
        if self._trackers:
            self._write()
        self._trackers.clear()

    # What the driver says --------------------------------------------------------------------------------------------

    def superseded(self, steps: Sequence[Step], where: Path) -> None:
        self._display.superseded(steps, where)

    def skipped(self, step: Step, /) -> None:
        self._display.skipped(step)
        self._tell_finished(step)

    def started(self, step: Step, resumed: bool) -> None:
        self._display.started(step, resumed)
        self._step = step

    def progress(self, done: int, total: int | None, note: str) -> None:
        self._display.progress(done, total, note)
        if self._trackers and self._step is not None and self._step.stage.trains is not None:
            self._tell_losses()

    def finished(self, step: Step, marker: Mapping[str, Any]) -> None:
        self._display.finished(step, marker)
        self._tell_finished(step)

    def failed(self) -> None:
        self._display.failed()

    def samples(self, step: Step, found: Samples) -> None:
        self._display.samples(step, found)

    def note(self, text: str) -> None:
        self._display.note(text)

    # What the trackers hear ------------------------------------------------------------------------------------------

    def _tell_finished(self, step: Step) -> None:
        """Tell of a finished step whoever has not heard of it as it is now."""
        done = self._run.marker(step, "done")
        if not self._trackers or not done.exists():
            return
        marker = read_json(done)
        told = str(marker.get("finished"))
        deaf = [name for name in self._trackers_of(step) if self._heard(name)["steps"].get(step.name) != told]
        if not deaf:
            return
        if step.stage.trains is not None:
            self._tell_losses()
        model = number_of(step.model)
        spent = {"stages/seconds": float(marker.get("seconds", 0.0))}
        if isinstance(marker.get("rows"), int):
            spent["stages/rows"] = float(marker["rows"])
        by_model = {f"seconds/{step.label}": spent["stages/seconds"], **figures(self._run, step)}
        found = tables(self._run, step)

        for name in deaf:
            tracker = self._trackers[name]
            self._tell(name, partial(tracker.numbers, "stage", int(marker.get("order", 0)), spent))
            self._tell(name, partial(tracker.numbers, "model", model, by_model))
            for table in found:
                self._tell(name, partial(tracker.table, table))
            if name in self._trackers:  # else it failed, and is told of this step when the run is started again
                self._heard(name)["steps"][step.name] = told
        self._write()

    def _tell_losses(self) -> None:
        for row in self._losses.new():
            step = self._run.steps.get(f"{row.get('model')}/{row.get('stage')}")
            at = row.get("step")
            if step is None or step.stage.trains is None or not isinstance(at, (int, float)):
                continue
            place = f"{step.label}/{step.model}"
            values = {f"{place}/{name}": float(value) for name, value in row.items()
                      if name not in ("step", "epoch") and isinstance(value, (int, float))}  # fmt: skip
            for name in self._trackers_of(step):
                told, tracker = self._heard(name)["losses"], self._trackers[name]
                if at > told.get(step.name, 0):
                    self._tell(name, partial(tracker.numbers, f"{place}/step", int(at), values))
                    told[step.name] = int(at)
        if time.monotonic() - self._written > _WRITE:
            self._write()

    def _trackers_of(self, step: Step) -> list[str]:
        return [name for name in trackers_of(self._run.config, step.stage.trains) if name in self._trackers]

    def _is_there(self, name: str) -> bool:
        """Whether a step was begun and not moved away; the weights that it made may be gone."""
        step = self._run.steps.get(name)
        return step is not None and any(self._run.marker(step, kind).exists() for kind in ("begun", "done"))

    def _heard(self, tracker: str) -> dict[str, Any]:
        """What a tracker has heard of: the steps, by when they were finished, and the losses, up to which step."""
        fresh: dict[str, Any] = {"handle": None, "steps": {}, "losses": {}, "decision": None}
        found: dict[str, Any] = self._known["trackers"].setdefault(tracker, fresh)
        return found

    def _tell(self, name: str, tell: Callable[[], None]) -> None:
        """A tracker that fails is left alone from then on, and the run goes on: it is no part of the result."""
        if name not in self._trackers:
            return
        try:
            tell()
        except Exception as error:
            del self._trackers[name]
            problem = " ".join(str(error).split()) or type(error).__name__
            self._display.note(f"{name} hears no more of this run ({problem}); start the run again to tell it the rest")

    def _write(self) -> None:
        for name, tracker in self._trackers.items():
            self._heard(name)["handle"] = tracker.handle
        write_json(self._run.path / FILE, self._known)
        self._written = time.monotonic()


class _Losses:
    """The rows of metrics.jsonl as they come; all of them again if the file was written anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file, self._read = 0, 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Rows that were not returned before, without a last one that is still being written."""
        try:
            handle = self._path.open("rb")
        except FileNotFoundError:
            return
        with handle:
            found = os.fstat(handle.fileno())
            if found.st_ino != self._file or found.st_size < self._read:
                self._file, self._read = found.st_ino, 0
            handle.seek(self._read)
            for line in handle:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield json.loads(line)


def _own_id(folder: Path) -> str:
    """What no other run directory has: where it is and when it was begun."""
    return hashlib.sha256(f"{folder.resolve()} {read_facts(folder)['started']}".encode()).hexdigest()[:16]
