"""A training that was killed goes on from its last checkpoint: weights, optimiser, schedule, order of the data."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from judgeloop.errors import StageFailed
from judgeloop.jsonl import write_text_atomically
from judgeloop.training import collectives, distributed

FOLDER = "checkpoints"
_KEY = "made_from.json"


def training_key(settings: dict[str, Any], rows: Iterable[Sequence[Sequence[int]]]) -> str:
    """What a checkpoint belongs to: the settings that matter (config, seed, hashes of models), and every token id."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for row in rows:
        digest.update(json.dumps([list(part) for part in row]).encode())
    return digest.hexdigest()


@contextmanager
def checkpoint_folder(output: Path, key: str) -> Iterator[Path]:
    """The folder beside `output` in which the trainer keeps its checkpoints; removed once the training has finished.

    What another training (another `key`) left there is removed first. Raises StageFailed if `output` exists:
    training never writes over a model. Of several processes the first one makes and removes it, the others wait.
    """
    folder = output.parent / FOLDER
    if not distributed.is_main():
        collectives.wait_for_all()
        yield folder
        collectives.wait_for_all()
        return
    if output.exists():
        raise StageFailed(f"{output} already exists; training never writes over a model")
    if _key_of(folder) != key:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder / _KEY, json.dumps({"key": key}))
    collectives.wait_for_all()
    yield folder
    collectives.wait_for_all()
    shutil.rmtree(folder)


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the highest step that was written to its end (the trainer's state is written last)."""
    steps = {int(m.group(1)): path for path in folder.iterdir() if (m := re.fullmatch(r"checkpoint-(\d+)", path.name))}
    for _, path in sorted(steps.items(), reverse=True):
        if _reads(path / "trainer_state.json") is not None:
            return path
    return None


def _key_of(folder: Path) -> str | None:
    found = _reads(folder / _KEY)
    return None if found is None else str(found.get("key"))


def _reads(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
