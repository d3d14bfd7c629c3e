"""The run directory: which artifacts are there, what they were made from, and who may write.

An artifact is complete when its done-marker, written last, is beside it with the fingerprint of what it depends
on. A begun-marker says what an unfinished artifact is being made from, so that rows made under other settings are
never mixed. Nothing is deleted: what is redone moves to `superseded/`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from judgeloop import __version__
from judgeloop.config import Config, load
from judgeloop.errors import InputError
from judgeloop.jsonl import make_folder, sync, write_text_atomically
from judgeloop.run.circumstances import KEY, circumstances, difference
from judgeloop.run.fingerprints import file_hash, fingerprint, input_fingerprint, settings
from judgeloop.run.json_artifacts import read_json, refuse_damage, write_json
from judgeloop.run.stage import LOOP, Artifact, Step, downstream

State = Literal["missing", "begun", "done"]
FORMAT = 2  # of run directories; one of another format is refused, for its markers say other things


@dataclass(frozen=True, slots=True)
class Stale:
    """A step whose artifact was made from something else than the config now says; `why` names the first change."""

    step: Step
    why: str


class RunDirectory:
    """One run on disk, seen through one config."""

    def __init__(self, path: Path, config: Config, steps: Sequence[Step]) -> None:
        self.path = path
        self.config = config
        self.steps = {step.name: step for step in steps}
        self._lock: int | None = None
        self._noted: set[tuple[str, str, str, str]] = set()

    @classmethod
    def prepare(cls, path: Path, config: Config, steps: Sequence[Step]) -> RunDirectory:
        """Make the directory and take its lock. Raises InputError if it cannot be written or is in use."""
        try:
            make_folder(path)
            probe = path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError.at(path, None, f"cannot be written ({error.strerror})", "choose another --out") from error
        if any(path.iterdir()) and not any((path / n).exists() for n in ("run.json", ".lock")):
            raise InputError.at(path, None, "is not empty and not a run of judgeloop", "choose another --out")
        run = cls(path, config, steps)
        run._take_lock()
        return run

    @property
    def lock_fd(self) -> int | None:
        """Children inherit this, so the run stays locked until the last process that writes to it is gone."""
        return self._lock

    def _take_lock(self, patience: float = 10.0) -> None:
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        until = time.monotonic() + patience  # an orphaned child of a killed run needs a moment to notice and go
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > until:
                    os.close(handle)
                    raise InputError.at(
                        self.path,
                        None,
                        "another run is working in this directory",
                        "wait for it or choose another --out",
                    ) from None
                time.sleep(0.1)
        self._lock = handle

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # Paths -----------------------------------------------------------------------------------------------------------

    def folder(self, model: str) -> Path:
        return self.path / model

    def folder_of(self, name: str) -> Path:
        """The folder of a step's model, by the step's name."""
        return self.folder(self.steps[name].model)

    def artifact(self, name: str) -> Path:
        return self.folder_of(name) / self.steps[name].artifact

    def marker(self, step: Step, kind: Literal["begun", "done"]) -> Path:
        return self.folder(step.model) / f".{step.label}.{kind}.json"

    def weights(self, step: Step) -> Path:
        """The folder of the model that a step makes; M0's is where its artifact says."""
        if step.weights is None:
            raise ValueError(f"{step.name} makes no model")
        if not step.weights:
            return Path(read_json(self.artifact(step.name))["path"])
        return self.folder(step.model) / step.weights

    def record(self, step: Step) -> Path:
        """The file that says what a step's model is: its hash, and for M0 where it is."""
        return self.weights(step).with_name("train.json") if step.weights else self.artifact(step.name)

    def maker(self, model: str) -> Step:
        """The step that makes M0, M1, …, or the model of that step's name."""
        for step in self.steps.values():
            if step.weights is not None and model == (step.model if step.weights in ("", "model") else step.name):
                return step
        raise KeyError(model)

    def base_weights(self) -> Path:
        """The folder of M0, from which every later model has its tokenizer and chat template."""
        return self.weights(self.maker("M0"))

    def day(self) -> str | None:
        """The day that chat templates are told ("2026-11-29"): the one on which the run found M0."""
        artifact = self.artifact(self.maker("M0").name)
        return read_json(artifact).get("date") if artifact.exists() else None

    def identity(self, model: str) -> dict[str, Any]:
        """{"name", "path", "hash"} of a finished model of the run."""
        step = self.maker(model)
        said = read_json(self.record(step))
        path = self.weights(step).relative_to(self.path).as_posix() if step.weights else said["path"]
        return {"name": model, "path": path, "hash": said["hash"]}

    # Fingerprints ----------------------------------------------------------------------------------------------------

    def expected(self, step: Step) -> dict[str, Any]:
        """What the step's artifact is to be made from: settings and the fingerprints of its inputs."""
        return self._expected(step, {})

    def _expected(self, step: Step, known: dict[str, str]) -> dict[str, Any]:
        """`known` keeps the fingerprints found so far: without it, each iteration would multiply the work."""
        inputs: dict[str, str] = {}
        for given in (each for entries in step.given.values() for each in entries):
            if isinstance(given, Artifact):
                inputs[given.step] = self._fingerprint(self.steps[given.step], known)
            else:
                inputs |= input_fingerprint(given)
        found = settings(step, self.config)
        if step.stage.plugin is not None:
            found["plugin"] = step.stage.plugin
        parts = {"settings": found, "inputs": inputs}
        return {"fingerprint": fingerprint(parts), **parts, KEY: circumstances(step, self.config)}

    def fingerprint_of(self, step: Step) -> str:
        """The step's fingerprint under the present config; for M0 the weights' hash counts too."""
        return self._fingerprint(step, {})

    def _fingerprint(self, step: Step, known: dict[str, str]) -> str:
        if step.name not in known:
            found = str(self._expected(step, known)["fingerprint"])
            if step.stage.content is not None:
                artifact = self.artifact(step.name)
                content = read_json(artifact)[step.stage.content] if artifact.exists() else None
                found = fingerprint({"settings": found, step.stage.content: content})
            known[step.name] = found
        return known[step.name]

    def state(self, step: Step) -> State:
        if self.marker(step, "done").exists() and self.artifact(step.name).exists():
            return "done"
        return "begun" if self.marker(step, "begun").exists() else "missing"

    def stale(self, steps: Iterable[Step]) -> list[Stale]:
        """Steps that are on disk, finished or begun, and no longer fit the config."""
        found = []
        known: dict[str, str] = {}
        for step in steps:
            for kind in ("done", "begun"):
                path = self.marker(step, "done" if kind == "done" else "begun")
                if not path.exists():
                    continue
                made, expected = read_json(path), self._expected(step, known)
                why = _difference(made, expected) or difference(made.get(KEY, {}), step, expected[KEY])
                if why is not None:
                    found.append(Stale(step, why))
                break
        return found

    def changed_by_hand(self, steps: Iterable[Step]) -> list[Step]:
        """Finished steps whose row files are not what the stage wrote."""
        changed = []
        for step in steps:
            path = self.marker(step, "done")
            if not path.exists():
                continue
            for name, digest in read_json(path).get("files", {}).items():
                file = self.folder(step.model) / name
                if not file.exists() or file_hash(file) != digest:
                    changed.append(step)
                    break
        return changed

    # Writing ---------------------------------------------------------------------------------------------------------

    def begin(self, step: Step) -> None:
        """Say what the artifact is being made from, before its first row."""
        path = self.marker(step, "begun")
        if not path.exists():
            write_json(path, {"stage": step.label, "started": now(), "judgeloop": __version__, **self.expected(step)})

    def noted(self, step: Step, part: str) -> dict[str, str]:
        """What a step that is at work noted of its circumstances, in this attempt or one before."""
        path = self.marker(step, "begun")
        return dict(read_json(path).get(KEY, {}).get(part, {})) if path.exists() else {}

    def note(self, step: Step, part: str, name: str, value: str) -> None:
        """Note a circumstance of a step that is at work, before it has an effect on the result."""
        path, known = self.marker(step, "begun"), (step.name, part, name, value)
        if known not in self._noted and path.exists():
            said = read_json(path)
            before = said.get(KEY, {})
            noted = {**before, part: {**before.get(part, {}), name: value}}
            write_json(path, {**said, KEY: noted})
            self._noted.add(known)

    def finish(self, step: Step, seconds: float, account: Mapping[str, Any]) -> None:
        """Write the done-marker: the artifact is complete, and on the disk. The files that the step wrote are sealed by
        their hashes. What it was made from is what the begun-marker says: a file that changed meanwhile makes it stale.
        `seconds` add up over interrupted attempts."""
        folder, begun = self.folder(step.model), self.marker(step, "begun")
        made = self.expected(step)
        if begun.exists():
            said = read_json(begun)
            made |= {name: said[name] for name in made if name in said}
        for name in step.writes:
            sync(folder / name)
        digests = {name: file_hash(folder / name) for name in step.writes if (folder / name).is_file()}
        write_json(
            self.marker(step, "done"),
            {"stage": step.label, "title": step.stage.title, "order": list(self.steps).index(step.name),
             "judgeloop": __version__, **made, "seconds": round(self.spent(step) + seconds, 2),
             "finished": now(), "files": digests, **account},
        )  # fmt: skip
        begun.unlink(missing_ok=True)

    def spend(self, step: Step, seconds: float) -> None:
        """Note the time an attempt took that did not finish."""
        path = self.marker(step, "begun")
        if path.exists():
            write_json(path, {**read_json(path), "seconds": round(self.spent(step) + seconds, 2)})

    def spent(self, step: Step) -> float:
        """Seconds that earlier, interrupted attempts took."""
        path = self.marker(step, "begun")
        return float(read_json(path).get("seconds", 0.0)) if path.exists() else 0.0

    def supersede(self, roots: Sequence[Step]) -> tuple[list[Step], Path]:
        """Move what the steps and everything made from them produced to `superseded/<time>/`; say what and where. The
        last go first: after a kill in between, nothing is left that was made from what is gone."""
        target = self.path / "superseded" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        moved = []
        for step in reversed(downstream(list(self.steps.values()), roots)):
            files = [p for p in self.outputs(step) if p.exists()]
            if files:
                moved.append(step)
            for path in files:
                if path.exists():  # else it went with the folder that it is in
                    place = target / step.model / path.relative_to(self.folder(step.model))
                    place.parent.mkdir(parents=True, exist_ok=True)
                    path.rename(place)
        drop_metrics(self.path, {(s.model, s.label) for s in moved})
        return moved[::-1], target

    def outputs(self, step: Step) -> list[Path]:
        """Everything the step writes: markers first, so that a kill in between leaves no marker without artifact."""
        folder = self.folder(step.model)
        return [
            self.marker(step, "done"),
            self.marker(step, "begun"),
            *(folder / name for name in step.writes),
        ]


def open_run(path: Path) -> tuple[Config, dict[str, Any]]:
    """Read an existing run's resolved config and run.json. Raises InputError if `path` is not a run."""
    if not (path / "run.json").is_file() or not (path / "config.yaml").is_file():
        raise InputError.at(path, None, "is not a run directory", "give the folder that 'judgeloop run' wrote")
    facts = read_facts(path)
    return load(path / "config.yaml"), facts


def read_facts(path: Path) -> dict[str, Any]:
    """The run.json of a run directory. Raises InputError if it is damaged, or of another format."""
    file, remedy = path / "run.json", "restore it, or choose another --out"
    facts = read_json(file, remedy, whole=False)
    if "format" in facts:  # what else is in one of another format is not ours to check
        _refuse_other_format(path, facts)
    refuse_damage(file, facts, remedy)
    _refuse_other_format(path, facts)
    return {"method": LOOP, **facts}


def _refuse_other_format(path: Path, facts: Mapping[str, Any]) -> None:
    """Raise InputError if the run directory was made by a judgeloop that wrote another format."""
    found = facts.get("format", 1)
    if found != FORMAT:
        maker = f"judgeloop {facts.get('judgeloop', '')}".strip()
        raise InputError.at(
            path, None, f"is a run directory of format {found} ({maker}), and this is format {FORMAT}",
            "go on with the judgeloop that made it, or choose another --out",
        )  # fmt: skip


def describe(run: RunDirectory, method: str = LOOP) -> None:
    """Write config.yaml (resolved) and run.json, which make the folder a run; `method` names its steps."""
    write_text_atomically(run.path / "config.yaml", run.config.resolved_yaml())
    file = run.path / "run.json"
    started = read_json(file)["started"] if file.exists() else now()
    models = list(dict.fromkeys(step.model for step in run.steps.values()))
    evaluated = list(dict.fromkeys(step.model for step in run.steps.values() if step.label == "eval"))
    facts = {"judgeloop": __version__, "format": FORMAT, "method": method, "started": started, "models": models,
             "evaluated": evaluated, "seed": run.config.seed}  # fmt: skip
    write_json(file, facts)


def drop_metrics(run: Path, attempts: set[tuple[str, str]]) -> None:
    """Take the metrics of unfinished or superseded trainings out of metrics.jsonl, so that no step is there twice."""
    path = run / "metrics.jsonl"
    if not path.exists() or not attempts:
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue  # a torn last line
        if (row.get("model"), row.get("stage")) not in attempts:
            kept.append(line)
    write_text_atomically(path, "".join(kept))


def _difference(made: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """The first thing that differs, in words; None if nothing does."""
    if made.get("fingerprint") == expected["fingerprint"]:
        return None
    old, new = made.get("settings", {}), expected["settings"]
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            return f"{key} was {_short(old.get(key))}, is {_short(new.get(key))}"
    changed = [name for name, value in expected["inputs"].items() if made.get("inputs", {}).get(name) != value]
    return f"made from another {', '.join(changed)}" if changed else "its inputs changed"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
