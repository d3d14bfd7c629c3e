"""YAML in, `--set key=value` on top; the tree's keys and their documentation out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from judgeloop.config.choices import METRICS, load_plugin
from judgeloop.config.section import Names, Section, leaves
from judgeloop.config.tree import Config
from judgeloop.errors import InputError

HUB = "hf:"  # before the id of a data set on the hub, in the place of a path
S = TypeVar("S", bound=Section)
_A_ROLE = re.compile(r"current|previous|M\d+")


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which no mapping has a key twice: the library would take the last without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' is there twice", key.start_mark)
            seen.add((key.tag, key.value))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Raises ConstructorError with its place also for what looks like a date or a number and is none."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise yaml.constructor.ConstructorError(None, None, f"no such value: {error}", node.start_mark) from error


def known_keys(section: type[Section] = Config, prefix: str = "") -> list[str]:
    """All dotted keys of the tree, sections included."""
    keys = []
    for name, info in section.model_fields.items():
        keys.append(prefix + name)
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            keys += known_keys(inner, f"{prefix}{name}.")
    return keys


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML config and apply `key=value` overrides. Relative data paths are resolved: those of the file against
    its folder, those of the overrides against the working directory.

    Raises InputError (exit code 2) naming file and key where anything is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError.at(path, None, f"the config cannot be read ({reason})", "check the path") from error
    try:
        tree = yaml.load(text, _UniqueKeys)
    except yaml.reader.ReaderError as error:
        place = text.count("\n", 0, error.position) + 1
        problem = f"the character {chr(error.character)!r} cannot be in YAML"
        raise InputError.at(path, place, problem, "remove it") from error
    except RecursionError as error:
        raise InputError.at(
            path, None, "is nested too deeply", "write the tree that docs/configuration.md shows"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        problem = f"broken YAML ({getattr(error, 'problem', None) or 'cannot be parsed'})"
        raise InputError.at(path, line, problem, "mend the line") from error
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise InputError.at(path, None, "is not a mapping of keys", "write 'key: value' lines")
    _resolve_paths(tree, path.resolve().parent)
    for override in overrides:
        _apply(tree, override)
    return parse(tree, str(path))


def configure(overrides: Sequence[str], origin: str, *, seedless: bool = False) -> Config:
    """The defaults with `key=value` overrides; `origin` names the command in errors. `seedless`: what is configured is
    no run, so no seed need be named."""
    tree: dict[str, Any] = {}
    for override in overrides:
        _apply(tree, override)
    return parse(tree, origin, seedless=seedless)


def parse(tree: Mapping[str, Any], origin: str, *, seedless: bool = False) -> Config:
    """Validate a tree of plain values; `origin` names it in errors. Plugins are run first, for their names count."""
    plugins = tree.get("plugins")
    named = [plugins] if isinstance(plugins, str) else plugins if isinstance(plugins, list) else []
    files = [load_plugin(Path(str(plugin))) for plugin in named]
    if files and isinstance(evaluation := tree.get("evaluation") or {}, Mapping):
        tree = {**tree, "evaluation": {"metrics": METRICS.added(files), **evaluation}}
    try:
        return Config.model_validate(tree, context={"seedless": seedless})
    except ValidationError as error:
        raise InputError(f"{origin}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """The first thing wrong, in one line (fixing the first often fixes the others)."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        keys = known_keys()
        section, _, name = key.rpartition(".")
        beside = [k.rpartition(".")[2] for k in keys if section and k.rpartition(".")[0] == section]
        if beside:  # a section that exists: of its own keys one is meant, or none
            near = [f"{section}.{k}" for k in difflib.get_close_matches(name, beside, n=1, cutoff=0.6)]
        else:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.6)
        if not near:
            near = [k for k in keys if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]][:1]
        hint = f"did you mean '{near[0]}'?" if near else "docs/configuration.md lists the keys"
        return f"unknown key '{key}'; {hint}"
    message = first["msg"].removeprefix("Value error, ")
    where = f"key '{key}': " if key else ""
    given = "" if isinstance(first["input"], (dict, BaseModel)) else f" (given: {first['input']!r})"
    return f"{where}{message}{given}"


def validated(section: type[S], **values: Any) -> S:
    """A section of what a command's options say. Raises InputError if an option's value cannot be."""
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise InputError(f"options: {_explain(error)}") from error


def _resolve_paths(tree: dict[str, Any], folder: Path) -> None:
    """Paths in a file are relative to that file. What may be a name or a path is a path where such a thing exists."""

    def absolute(value: object) -> object:
        if isinstance(value, list):
            return [absolute(item) for item in value]
        if not isinstance(value, str) or value.startswith(HUB):
            return value
        return str(place(value).resolve())

    def place(value: str) -> Path:
        """Raises ValueError, OSError or RuntimeError for what can be no path: a NUL, a home of nobody's."""
        return folder / Path(value).expanduser()

    for dotted, section, name in leaves(Config):
        mark = next((mark for mark in section.model_fields[name].metadata if isinstance(mark, Names)), None)
        if mark is None:
            continue
        node: Any = tree
        for part in dotted.split(".")[:-1]:
            node = node.get(part) if isinstance(node, dict) else None
        value = node.get(name) if isinstance(node, dict) else None
        if value is None:
            continue
        try:
            if mark.what == "path" or (
                isinstance(value, str) and not _A_ROLE.fullmatch(value) and place(value).exists()
            ):
                node[name] = absolute(value)
        except (ValueError, OSError, RuntimeError) as error:
            problem = getattr(error, "strerror", None) or error
            raise InputError(f"key '{dotted}': {value!r:.80} can be no path ({problem}); name what is there") from error


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, raw = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(f"--set {override}: is not key=value; write for example --set iterations=3")
    try:
        value = yaml.load(raw, _UniqueKeys)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"--set {override}: the value is not valid YAML; quote it") from error
    *sections, name = key.split(".")
    alone: dict[str, Any] = {name: value}
    for section in reversed(sections):
        alone = {section: alone}
    _resolve_paths(alone, Path.cwd())  # what is typed is relative to where it is typed
    for section in sections:
        alone = alone[section]
    node = tree
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise InputError(
                f"--set {override}: '{section}' is a value, not a section; docs/configuration.md lists keys"
            )
        node = child
    node[name] = alone[name]


def documentation(section: type[Section] = Config, prefix: str = "") -> list[tuple[str, str, str]]:
    """(dotted key, default, description) of every leaf: what docs/configuration.md is made from."""
    rows = []
    for name, info in section.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            rows += documentation(inner, f"{prefix}{name}.")
            continue
        default = info.get_default(call_default_factory=True)
        shown = yaml.safe_dump(list(default) if isinstance(default, tuple) else default).removesuffix("...\n").strip()
        rows.append((prefix + name, shown, info.description or ""))
    return rows
