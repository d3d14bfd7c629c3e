"""What an engine declares of itself, and the built-in declarations.

They are apart from the engines so that listing, checking and choosing one imports no torch and no OpenVINO.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from judgeloop.config import EngineSection
from judgeloop.engines.base import Engine
from judgeloop.models.auto_class import own_state
from judgeloop.models.chat import Chat
from judgeloop.models.facts import read_config, text_config
from judgeloop.models.hardware import has_cuda


@dataclass(frozen=True, slots=True)
class Opening:
    """What an engine is given when it is opened; see `judgeloop.engines.open_engine`."""

    section: EngineSection
    folder: Path
    chat: Chat
    work_dir: Path
    threads: int | None
    seed: int
    trust_remote_code: bool


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One value of `engine.kind`.

    `package` is the module that the engine needs and `install` the command that brings it; `can_run` gives the reason
    why the model in a folder cannot be run, or None. `auto` gives the rank on this machine among what
    `engine.kind: auto` may pick, the highest first; None: never picked. `as_fallback` says what it costs to be picked
    in place of one that ranks higher.
    """

    open: Callable[[Opening], Engine]
    package: str | None = None
    install: str = ""
    can_run: Callable[[Path], str | None] = lambda _: None
    auto: Callable[[], int] | None = None
    as_fallback: str = ""

    def missing(self) -> str | None:
        """What has to be installed first, or None."""
        if self.package is None or importlib.util.find_spec(self.package) is not None:
            return None
        return f"{self.package.replace('_', '-')} is not installed"


def _open_scripted(given: Opening) -> Engine:
    from judgeloop.engines.scripted import ScriptedEngine

    script = Path(given.section.script) if given.section.script else None
    return ScriptedEngine(given.chat, script=script, seed=given.seed)


def _open_openvino(given: Opening) -> Engine:
    from judgeloop.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(
        given.section,
        given.folder,
        given.chat,
        work_dir=given.work_dir,
        threads=given.threads,
        trust_remote_code=given.trust_remote_code,
    )


def _openvino_can_run(folder: Path) -> str | None:
    from judgeloop.engines.openvino import supports

    return supports(folder)


def _open_transformers(given: Opening) -> Engine:
    from judgeloop.engines.transformers import TransformersEngine

    return TransformersEngine(
        given.section,
        given.folder,
        given.chat,
        threads=given.threads,
        trust_remote_code=given.trust_remote_code,
    )


def _transformers_can_run(folder: Path) -> str | None:
    return own_state(text_config(read_config(folder)).get("model_type"))


def _open_vllm(given: Opening) -> Engine:
    from judgeloop.engines.vllm import VllmEngine

    return VllmEngine(
        given.section,
        given.folder,
        given.chat,
        threads=given.threads,
        trust_remote_code=given.trust_remote_code,
    )


def _open_server(given: Opening) -> Engine:
    from judgeloop.engines.server import ServerEngine

    return ServerEngine(given.section.server, given.folder, given.chat, work_dir=given.work_dir)


def _rank_of_vllm() -> int:
    """The first on a GPU; elsewhere, or if it is not installed, never before transformers."""
    return 40 if VLLM.missing() is None and has_cuda() else 0


OPENVINO = EngineKind(
    _open_openvino,
    package="openvino_genai",
    install="pip install openvino-genai",
    can_run=_openvino_can_run,
    auto=lambda: 20,
)
TRANSFORMERS = EngineKind(
    _open_transformers,
    package="transformers",
    install="pip install transformers",
    can_run=_transformers_can_run,
    auto=lambda: 30 if has_cuda() else 10,
    as_fallback="generation on this CPU takes about three times as long",
)
VLLM = EngineKind(_open_vllm, package="vllm", install="pip install 'judgeloop[vllm]'", auto=_rank_of_vllm)
SERVER = EngineKind(_open_server)
SCRIPTED = EngineKind(_open_scripted)
