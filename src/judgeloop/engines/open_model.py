"""A model loaded for one command: found by name, its template read, its engine opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from judgeloop.config import EngineSection
from judgeloop.config.tree import Thinking
from judgeloop.engines import open_engine
from judgeloop.engines.base import Engine
from judgeloop.models.chat import Chat
from judgeloop.models.contents import content_hash
from judgeloop.models.convert import cache_folder, with_chatml_tokens
from judgeloop.models.resolve import ModelFolder, resolve
from judgeloop.models.run_note import read_note


@dataclass(frozen=True, slots=True)
class Loaded:
    """An open engine, the chat template its prompts go through, and the hash of the weights."""

    name: str
    hash: str
    engine: Engine
    chat: Chat


@contextmanager
def loaded(
    model: str,
    *,
    engine: EngineSection | None = None,
    seed: int = 0,
    threads: int | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    chat_template: str | None = None,
    system_prompt: str | None = None,
    thinking: Thinking = "auto",
) -> Iterator[Loaded]:
    """Find a model (folder, hub id, alias), check its template and open an engine for it; closed afterwards.

    The arguments mean what the config's keys of these names mean; for a model that a run made, those left out are as in
    that run, and chat templates are told its day. Converted weights are kept in the cache under the
    weights' hash. Raises InputError where the model cannot be used.
    """
    found = resolve(model, revision=revision, trust_remote_code=trust_remote_code)
    if chat_template == "chatml+tokens":
        path = with_chatml_tokens(found.path, found.hash)
        found = ModelFolder(found.name, path, content_hash(path))
    chat = chat_of(found.path, chat_template, system_prompt, trust_remote_code, thinking)
    chat.require_sound()
    opened = open_engine(
        engine or EngineSection(),
        found.path,
        chat,
        work_dir=cache_folder() / "engines" / found.hash.removeprefix("sha256:")[:16],
        threads=threads,
        seed=seed,
        trust_remote_code=trust_remote_code,
    )
    try:
        yield Loaded(found.name, found.hash, opened, chat)
    finally:
        opened.close()


def chat_of(
    folder: Path,
    chat_template: str | None = None,
    system_prompt: str | None = None,
    trust_remote_code: bool = False,
    thinking: Thinking = "auto",
) -> Chat:
    """The tokenizer and chat template of a model's folder, by the note of the run that made it if there is one."""
    note = read_note(folder)
    if note is not None:
        system_prompt = note.system_prompt if system_prompt is None else system_prompt
        thinking = note.thinking if thinking == "auto" else thinking
    return Chat.load(
        folder,
        chat_template=chat_template,
        system_prompt=system_prompt,
        trust_remote_code=trust_remote_code,
        thinking=thinking,
        date=note.date if note is not None else None,
    )
