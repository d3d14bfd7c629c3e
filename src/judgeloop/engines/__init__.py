"""Engines run a model: `open_engine` picks and loads one, and imports its library only then."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

from judgeloop.config import EngineSection
from judgeloop.engines.base import Engine
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.hardware import has_cuda


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

    `auto`: transformers on a machine with CUDA, else openvino where it can run the model, else transformers with a
    warning of what that costs. `work_dir` is for files the engine makes (a GGUF), `threads` the CPU threads it may
    use (none: its own choice); `seed` colours the scripted engine's replies, the others draw by each request's seed.
    Raises InputError where the engine cannot run the model or its library is missing.
    """
    kind = section.kind if section.kind != "auto" else pick(folder)
    if kind == "scripted":
        from judgeloop.engines.scripted import ScriptedEngine

        return ScriptedEngine(chat, script=Path(section.script) if section.script else None, seed=seed)
    if kind == "openvino":
        if importlib.util.find_spec("openvino_genai") is None:
            raise InputError("engine.kind: openvino is not installed; run `pip install openvino-genai`")
        from judgeloop.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(
            section, folder, chat, work_dir=work_dir, threads=threads, trust_remote_code=trust_remote_code
        )
    from judgeloop.engines.transformers import TransformersEngine

    return TransformersEngine(section, folder, chat, threads=threads, trust_remote_code=trust_remote_code)


def pick(folder: Path) -> str:
    """What `auto` means for this model on this machine: "openvino" or "transformers"."""
    if has_cuda():
        return "transformers"
    if importlib.util.find_spec("openvino_genai") is None:
        reason: str | None = "openvino-genai is not installed"
    else:
        from judgeloop.engines.openvino import supports

        reason = supports(folder)
    if reason is None:
        return "openvino"
    warnings.warn(
        f"engine transformers instead of openvino ({reason}): generation on this CPU takes about three times as long",
        stacklevel=2,
    )
    return "transformers"
