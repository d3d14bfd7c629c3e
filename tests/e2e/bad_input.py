"""What a case of bad input is: the files it needs, the command, and the words that the one line has to hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from conftest import write_prompts, write_seed

Content = str | bytes | list[Any] | dict[str, Any] | None


@dataclass(frozen=True)
class Case:
    """`command` is what is typed after `judgeloop`; `words` are in the one line that comes back.

    `files` are written into the working directory: text and bytes as they are, a list as JSONL, an object as JSON;
    None removes the file. `config` are dotted keys of config.yaml. `make` does what files cannot. `environment` are
    variables; `code` is the exit code.
    """

    name: str
    command: str
    words: tuple[str, ...]
    files: Mapping[str, Content] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    make: Callable[[Path], object] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    code: int = 2


def prepare(folder: Path, case: Case, model: Path) -> None:
    """The working directory: a small run's config with all it names, rows to judge, and what the case changes."""
    write_seed(folder / "seed.jsonl")
    write_prompts(folder / "prompts.jsonl")
    write(folder / "rows.jsonl", [{"prompt": f"What is {n}?", "response": "A number."} for n in range(3)])
    (folder / "model").symlink_to(model, target_is_directory=True)
    tree: dict[str, Any] = {
        "model": "model",
        "threads": 1,
        "iterations": 1,
        "engine": {"kind": "transformers", "precision": "f32"},
        "seed_data": {"ranked": "seed.jsonl", "eft_share": 1.0, "eft": {"ift_overlap": True}},
        "sft": {"max_length": 2000},
        "prompts": {"source": "file", "files": ["prompts.jsonl"], "count": 4},
        "candidates": {"count": 2, "sampling": {"max_new_tokens": 8}},
        "judge": {"rubric": "additive-5-short", "min_mass": 0.0},
        "train": {"max_length": 2000},
        "evaluation": {"count": 2, "samples": 1, "bootstrap": 20, "sampling": {"max_new_tokens": 8}},
    }
    for key, value in case.config.items():
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    for name, content in case.files.items():
        write(folder / name, content)
    if case.make is not None:
        case.make(folder)


def write(path: Path, content: Content) -> None:
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    elif isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, links not followed."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.is_symlink()}
