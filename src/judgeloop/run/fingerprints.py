"""The fingerprint of what a step depends on: its config keys' values, and the contents of the files that they name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from judgeloop.config import Config, Section, as_before, shapes_results
from judgeloop.config.choices import Choices
from judgeloop.models.contents import content_hash
from judgeloop.run.stage import Frozen, Remote, Step


def settings(step: Step, config: Config) -> dict[str, Any]:
    """Dotted key → plain value of every config field that matters to the step.

    A file is named by the hash of its content, so moving it changes nothing and editing it does. Of keys that have a
    value for each iteration the step's own matters (`Section.of_model`).
    """
    found: dict[str, Any] = {}
    for key in step.keys:
        node: Any = config
        *sections, name = key.split(".")
        for part in sections:
            node = getattr(node, part).of_model(step.model)
        if not as_before(node, name):
            _flatten(key, _named(node, name), found, step.model)
    return found


def _named(section: Section, name: str) -> object:
    """A field's value; a choice that a user's file registered comes with that file's hash."""
    value = getattr(section, name)
    choices = next((mark for mark in type(section).model_fields[name].metadata if isinstance(mark, Choices)), None)
    if choices is None:
        return value
    return [choices.identity(each) for each in value] if isinstance(value, tuple) else choices.identity(value)


def _flatten(key: str, value: object, into: dict[str, Any], model: str) -> None:
    if isinstance(value, Section):
        section = value.of_model(model)
        for name in type(section).model_fields:
            if shapes_results(type(section), name) and not as_before(section, name):
                _flatten(f"{key}.{name}", _named(section, name), into, model)
    elif isinstance(value, (tuple, list)):
        into[key] = [_plain(item) for item in value]
    else:
        into[key] = _plain(value)


def _plain(value: object) -> object:
    """What a value means: the content of a file, a model folder or a folder, where it names one, else itself."""
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


def input_fingerprint(given: Frozen | Remote) -> dict[str, str]:
    """What names an input that no step makes, and its fingerprint: a model folder's content, or the endpoint's name."""
    if isinstance(given, Remote):
        return {given.name: given.name}
    return {given.path: str(_plain(given.path))}
