"""A model loaded for one command: found by name, its template read, its engine opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from judgeloop.config import EngineSection
from judgeloop.config.tree import Thinking
from judgeloop.engines import open_engine
from judgeloop.engines.base import Engine
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.contents import content_hash
from judgeloop.models.convert import cache_folder, with_chatml_tokens
from judgeloop.models.resolve import ModelFolder, resolve


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

    The arguments mean what the config's keys of these names mean. Converted weights are kept in the cache under the
    weights' hash. Raises InputError where the model cannot be used.
    """
    found = resolve(model, revision=revision, trust_remote_code=trust_remote_code)
    if chat_template == "chatml+tokens":
        path = with_chatml_tokens(found.path, found.hash)
        found = ModelFolder(found.name, path, content_hash(path))
    chat = Chat.load(
        found.path,
        chat_template=chat_template,
        system_prompt=system_prompt,
        trust_remote_code=trust_remote_code,
        thinking=thinking,
    )
    problems = chat.check()
    if problems:
        raise InputError(f"{found.path}: {'; also: '.join(problems)}")
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
