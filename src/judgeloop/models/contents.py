"""What identifies a model folder: hashes of its files, each read once for as long as it stays as it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from judgeloop.jsonl import write_text_atomically
from judgeloop.models.convert import cache_folder
from judgeloop.models.facts import TOKENIZER_FILES

_HASHED = (
    *TOKENIZER_FILES,
    "config.json",
    "merges.txt",
    "processor_config.json",  # which may hold the chat template
    "special_tokens_map.json",
    "tokenizer_config.json",
)
_HASHED_PATTERNS = (
    "*.safetensors",
    "*.safetensors.index.json",
    "added_tokens.json",
    "chat_template.*",
    "*.tiktoken",
    "*.model",
)
_BESIDE = ("generation_config.json", "*.py")
_SMALL = 2**20  # bytes; reading them costs no more than looking up their hash


def content_hash(folder: Path) -> str:
    """SHA-256 (hex) over names and contents of the weights, the config and the tokenizer's files.

    A file is read whole once, about a second for each GB; after that its hash is taken from the user's cache as long as
    device, inode, size, and the times of its last writing and of its last change of any kind are the same. The last of
    these cannot be set by a program, so neither a file written anew nor one written over in place passes for the old.
    """
    names = {name for name in _HASHED if (folder / name).is_file()}
    return _hash(folder, names | {path.name for pattern in _HASHED_PATTERNS for path in folder.glob(pattern)})


def beside_hash(folder: Path) -> str:
    """SHA-256 (hex) over what also shapes a model's answers and is not in `content_hash`: the defaults of its
    generation and its own code."""
    return _hash(folder, {path.name for pattern in _BESIDE for path in folder.glob(pattern)})


def _hash(folder: Path, names: Iterable[str]) -> str:
    total = hashlib.sha256()
    for name in sorted(names):
        total.update(f"{name}\0{file_hash(folder / name)}\n".encode())
    return total.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, remembered as `content_hash` says."""
    state = _state(path)
    if state is None:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return _remembered(path, state)


def said_of(path: Path, kind: str, find: Callable[[], str]) -> str:
    """What `find` says of a file's bytes, remembered under `kind` as long as a hash is."""
    state = _state(path)
    return find() if state is None else _known(path, state, kind, find)


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None for one so small that it is better read again."""
    stat = path.stat()
    if stat.st_size < _SMALL:
        return None
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=1000)
def _remembered(path: Path, state: tuple[int, ...]) -> str:
    def digest() -> str:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()

    return _known(path, state, "hashes", digest)


def _known(path: Path, state: tuple[int, ...], kind: str, find: Callable[[], str]) -> str:
    key = json.dumps(state) if state[1] else json.dumps([str(path.resolve()), *state])  # some systems have no inodes
    memo = cache_folder() / kind / hashlib.sha256(key.encode()).hexdigest()
    with contextlib.suppress(OSError, ValueError):
        if known := memo.read_text(encoding="utf-8"):
            return known
    found = find()
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        write_text_atomically(memo, found)
    return found
