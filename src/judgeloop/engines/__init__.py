"""Engines run a model: `open_engine` picks and loads one, and imports its library only then."""

from __future__ import annotations

import warnings
from pathlib import Path

from judgeloop.config import EngineSection
from judgeloop.config.choices import ENGINES
from judgeloop.engines.base import Engine
from judgeloop.engines.kinds import EngineKind, Opening
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat


def open_engine(
    section: EngineSection,
    folder: Path,
    chat: Chat,
    *,
    work_dir: Path,
    threads: int | None,
    seed: int,
    trust_remote_code: bool = False,
) -> Engine:
    """Load the model in `folder` with the engine that `section.kind` names, or that `auto` picks.

    `auto`: transformers on a machine with CUDA, else openvino if it can run the model, else transformers with a
    warning of what that costs; an engine of a plugin takes part if it declares a rank. `work_dir` is for files that the
    engine makes (a GGUF), `threads` the CPU threads it may use (none: its own choice); `seed` varies the scripted
    engine's replies, the others draw by each request's seed. Raises InputError if the engine cannot run the model or
    its library is missing.
    """
    return require_engine(section, folder).open(
        Opening(section, folder, chat, work_dir, threads, seed, trust_remote_code)
    )


def require_usable(section: EngineSection) -> None:
    """Raise InputError if the engine that `section.kind` names is not installed here."""
    if section.kind == "auto":
        return
    kind: EngineKind = ENGINES[section.kind]
    missing = kind.missing()
    if missing is not None:
        raise InputError(f"engine.kind: {section.kind} cannot be used, {missing}; run `{kind.install}`")


def require_engine(section: EngineSection, folder: Path) -> EngineKind:
    """The engine that `open_engine` would take. Raises InputError if it cannot run the model or is not installed."""
    require_usable(section)
    name = section.kind if section.kind != "auto" else pick(folder)
    kind: EngineKind = ENGINES[name]
    reason = kind.can_run(folder)
    if reason is not None:
        other = "vllm if that runs it, or give another model" if name == "transformers" else "transformers"
        raise InputError(f"engine.kind: {name} cannot run {folder}: {reason}; set it to {other}")
    return kind


def pick(folder: Path) -> str:
    """The name that `auto` means for this model on this machine."""
    ranked = sorted(
        ((ENGINES[name].auto(), name) for name in ENGINES if ENGINES[name].auto is not None),
        key=lambda found: -found[0],
    )
    passed: list[str] = []
    for _, name in ranked:
        kind: EngineKind = ENGINES[name]
        reason = kind.missing() or kind.can_run(folder)
        if reason is None:
            if passed:
                cost = f": {kind.as_fallback}" if kind.as_fallback else ""
                warnings.warn(f"engine {name} instead of {', '.join(passed)}{cost}", stacklevel=2)
            return name
        passed.append(f"{name} ({reason})")
    raise InputError(
        f"engine.kind: auto finds no engine that can run {folder}: {', '.join(passed)}; give another model"
    )
