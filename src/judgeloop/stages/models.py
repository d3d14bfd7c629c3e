"""A model that plays a role in a step: where its weights are, its chat template, its engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from judgeloop.engines.base import Engine
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.run_note import read_note
from judgeloop.run.circumstances import ENGINES
from judgeloop.run.directory import RunDirectory
from judgeloop.run.stage import Step


@dataclass(frozen=True, slots=True)
class Model:
    """`name` is M0, M1, …, "M1/writer" for one that serves a step, or the path of a frozen one of the user's; `folder`
    has the weights, `work` is for what an engine makes of them."""

    run: RunDirectory
    name: str
    folder: Path
    work: Path
    ours: bool
    reader: Step | None = None

    @classmethod
    def made(cls, run: RunDirectory, step: Step, reader: Step | None = None) -> Model:
        """The model that a step of the run made; `reader` is the step in which it plays a role."""
        folder = run.weights(step)
        beside = run.folder(step.model) if step.weights in ("", "model") else folder.parent
        name = step.model if step.weights in ("", "model") else step.name
        return cls(run, name, folder, beside / "engine", ours=True, reader=reader)

    @classmethod
    def frozen(cls, run: RunDirectory, named: str, reader: Step | None = None) -> Model:
        """A model folder of the user's, or one that `models.resolve` finds by its name."""
        from judgeloop.models.resolve import resolve

        folder = Path(named)
        if not (folder / "config.json").is_file():
            found = resolve(named, trust_remote_code=run.config.trust_remote_code)
            folder = found.path
        return cls(run, named, folder, run.path / "engines" / folder.name, ours=False, reader=reader)

    @property
    def identity(self) -> dict[str, Any]:
        """{"name", "path", "hash"}."""
        from judgeloop.models.contents import content_hash

        if not self.ours:
            return {"name": self.name, "path": str(self.folder), "hash": content_hash(self.folder)}
        return self.run.identity(self.name)

    def chat(self, *, system_prompt: str | None = None, answers: bool = False) -> Chat:
        """The run's chat template: M0's, which every later model keeps; a frozen model brings its own, and is given the
        run's system message only if it `answers` prompts as the policy does, else that of the run that made it, if one
        did. `system_prompt` takes the place of either. Raises InputError if a frozen model's template cannot be used.
        """
        config = self.run.config
        note = None if self.ours else read_note(self.folder)
        system = config.system_prompt if self.ours or answers else note.system_prompt if note is not None else None
        chat = Chat.load(
            self.run.base_weights() if self.ours else self.folder,
            chat_template=config.chat_template if self.ours else None,
            system_prompt=system if system_prompt is None else system_prompt,
            thinking=config.thinking if self.ours else note.thinking if note is not None else "auto",
            date=self.run.day(),
            trust_remote_code=config.trust_remote_code,
        )
        if not self.ours:
            chat.require_sound()
        return chat

    def open(self, chat: Chat, folder: Path | None = None) -> Engine:
        """Load it for generation and judging; converted weights are kept in the run. `folder` has other weights of the
        same model, such as a checkpoint's.

        Raises InputError if the weights are not there.
        """
        config = self.run.config
        weights = folder or self.folder
        if not (weights / "config.json").is_file():
            raise InputError(
                f"{weights}: is not a model folder (no config.json); if its weights were removed to save space, make "
                f"them anew with --redo {self.name}, else check the model's name or path"
            )
        work_dir = self.work if folder is None else weights / "engine"
        if config.compute.cluster is not None:
            return self._on_cluster(chat, weights, work_dir)
        from judgeloop.engines import open_engine, pick

        section = config.engine
        if section.kind == "auto":
            section = section.model_copy(update={"kind": self._auto(weights, lambda: pick(weights))})
        return open_engine(
            section,
            weights,
            chat,
            work_dir=work_dir,
            threads=config.threads,
            seed=config.seed,
            trust_remote_code=config.trust_remote_code,
        )

    def _on_cluster(self, chat: Chat, weights: Path, work_dir: Path) -> Engine:
        """As many engines as the cluster has room for, as one."""
        from judgeloop.compute.cluster_engine import ClusterEngine
        from judgeloop.compute.engine_actor import ToOpen
        from judgeloop.engines.kinds import Opening
        from judgeloop.models.contents import content_hash

        config = self.run.config
        opening = Opening(
            config.engine,
            weights.resolve(),
            chat,
            work_dir.resolve(),
            config.threads,
            config.seed,
            config.trust_remote_code,
        )
        wanted = ToOpen(
            opening,
            tuple(str(Path(plugin).resolve()) for plugin in config.plugins),
            content_hash(weights) if config.compute.local_cache is not None else "",
            config.compute.local_cache,
        )
        if config.engine.kind == "auto":
            kind = self._auto(weights, lambda: ClusterEngine(wanted, config.compute).pick(), here=False)
            section = config.engine.model_copy(update={"kind": kind})
            wanted = replace(wanted, opening=replace(opening, section=section))
        return ClusterEngine(wanted, config.compute)

    def _auto(self, weights: Path, pick: Callable[[], str], *, here: bool = True) -> str:
        """The engine that `auto` means, or meant when the step began: rows of two engines are not mixed in one stage.
        Raises InputError if that one cannot be used `here`; a machine of a cluster says so itself."""
        from judgeloop.config.choices import ENGINES as KINDS

        if self.reader is None:
            return pick()
        before = self.run.noted(self.reader, ENGINES).get(self.name)
        if before is None:
            found = pick()
            self.run.note(self.reader, ENGINES, self.name, found)
            return found
        if not here:
            return before
        kind = KINDS[before]
        if reason := kind.missing() or kind.can_run(weights):
            raise InputError(
                f"engine.kind: {self.reader.name} was begun with {before}, which auto meant, and here {reason}; go on "
                f"where it can be used, or make it anew with --redo {self.reader.name}"
            )
        return before
