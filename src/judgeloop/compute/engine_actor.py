"""What a Ray actor runs: one engine on one machine of the cluster, whose results are fetched as they come."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import judgeloop
from judgeloop.engines.kinds import Opening
from judgeloop.errors import InputError

Kind = Literal["generate", "option_logprobs"]
_TOGETHER = (
    0.5  # seconds of results that are sent at once: an object of Ray's for each row would cost more than the row
)


@dataclass(frozen=True, slots=True)
class ToOpen:
    """The engine that each actor opens. `digest` names the contents of its model's folder, `local_cache` is the folder
    for copies of it on the actor's machine, `version` the driver's judgeloop."""

    opening: Opening
    plugins: tuple[str, ...]
    digest: str
    local_cache: str | None
    version: str = judgeloop.__version__


class EngineActor:
    """Calls are carried out one after another. `more` sends what has come since, so the driver keeps two of them in
    flight: then the engine never waits for the driver."""

    def __init__(self) -> None:
        self._engine: Any = None
        self._asked: Generator[Any, None, None] | None = None
        self._held = contextlib.ExitStack()

    def where(self) -> str:
        """The name of machine and process."""
        return f"{platform.node()}, process {os.getpid()}"

    def pick(self, wanted: ToOpen) -> str:
        """The engine that `auto` means on this machine."""
        _prepare(wanted)
        from judgeloop.engines import pick

        return pick(wanted.opening.folder)

    def open(self, wanted: ToOpen) -> None:
        """Load the engine. Raises InputError if it cannot be used here."""
        _prepare(wanted)
        from judgeloop.compute.local_copies import copied
        from judgeloop.engines import require_engine

        opening = wanted.opening
        if wanted.local_cache is not None:
            cache = Path(wanted.local_cache).expanduser()
            folder = self._held.enter_context(copied(opening.folder, wanted.digest, cache))
            opening = replace(opening, folder=folder, work_dir=folder / "engine")
        self._engine = require_engine(opening.section, opening.folder).open(opening)

    def ask(self, kind: Kind, requests: Sequence[Any]) -> None:
        """Take these requests in place of all earlier ones."""
        if self._asked is not None:
            self._asked.close()
        self._asked = getattr(self._engine, kind)(requests)

    def more(self) -> tuple[list[Any], bool]:
        """The results of about the next half second, at least one if there is any, and whether they were the last."""
        found: list[Any] = []
        until = time.monotonic() + _TOGETHER
        for result in self._asked or ():
            found.append(result)
            if time.monotonic() >= until:
                return found, False
        self._asked = None
        return found, True


def _prepare(wanted: ToOpen) -> None:
    if judgeloop.__version__ != wanted.version:  # a machine that came after the check
        raise InputError(
            f"compute.cluster: machine {platform.node()} has judgeloop {judgeloop.__version__} and the driver "
            f"{wanted.version}; install the same on both"
        )
    os.environ.update({"HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"})
    from judgeloop.config.choices import load_plugin

    for plugin in wanted.plugins:
        load_plugin(Path(plugin))
