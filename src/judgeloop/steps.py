"""What a step is, and the fingerprint of what it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from judgeloop.config import NEUTRAL, Config, Section
from judgeloop.models import content_hash

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


def settings(step: Step, config: Config) -> dict[str, Any]:
    """Dotted key → plain value of every config field that matters to the step.

    A file is named by the hash of its content, so moving it changes nothing and editing it does.
    """
    found: dict[str, Any] = {}
    for key in step.keys:
        node: Any = config
        for part in key.split("."):
            node = getattr(node, part)
        _flatten(key, node, found)
    return found


def _flatten(key: str, value: object, into: dict[str, Any]) -> None:
    if isinstance(value, Section):
        for name in type(value).model_fields:
            if name not in NEUTRAL:
                _flatten(f"{key}.{name}", getattr(value, name), into)
    elif isinstance(value, (tuple, list)):
        into[key] = [_plain(item) for item in value]
    else:
        into[key] = _plain(value)


def _plain(value: object) -> object:
    """What a value stands for: the content of a file, a model folder or a folder, where it names one, else itself."""
    if not isinstance(value, str) or "/" not in value:
        return value
    path = Path(value)
    try:
        if path.is_file():
            return "sha256:" + file_hash(path)
        if (path / "config.json").is_file():
            return "model:" + content_hash(path)
        if path.is_dir():
            return "folder:" + folder_hash(path)
    except OSError:  # a long text with a slash in it, such as a system prompt
        return value
    return value


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def folder_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files, hidden ones left out, as hex."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        if not any(part.startswith(".") for part in name.parts):
            stat = path.stat()
            digest.update(f"{name.as_posix()}\0{_hash_as_of(path, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=100_000)
def _hash_as_of(path: Path, _size: int, _time: int) -> str:
    """A file's hash, computed once for as long as it stays as it is: fingerprints are asked for many times."""
    return file_hash(path)


def fingerprint(parts: Mapping[str, Any]) -> str:
    """16 hex digits over settings and the fingerprints of the inputs."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


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
