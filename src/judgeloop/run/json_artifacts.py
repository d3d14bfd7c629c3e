"""JSON artifacts of a run: read and looked at, written whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from judgeloop.artifacts import damage
from judgeloop.errors import InputError
from judgeloop.jsonl import write_text_atomically

REDO = "restore it or redo the stage that wrote it with --redo"


def read_json(
    path: Path, remedy: str | None = None, *, needs: Sequence[str] = (), whole: bool = True
) -> dict[str, Any]:
    """Read a JSON artifact of ours. Raises InputError, naming the file and the key, if it is damaged: the keys that
    `artifacts` says it has, and those that the reader `needs`, are there with their types (not `whole`: any JSON object
    will do)."""
    remedy = remedy or _remedy(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "its JSON is damaged"
        raise InputError.at(path, None, f"cannot be read ({why})", remedy) from error
    if not isinstance(value, dict):
        raise InputError.at(path, None, "is not a JSON object", remedy)
    if whole:
        refuse_damage(path, value, remedy, needs)
    return value


def refuse_damage(path: Path, value: Mapping[str, Any], remedy: str, needs: Sequence[str] = ()) -> None:
    wrong = damage(path.name, value, needs)
    if wrong is not None:
        raise InputError.at(path, None, wrong, remedy)


def _remedy(path: Path) -> str:
    if path.name == "decision.json":
        return "restore it or remove it; 'judgeloop run' decides anew"
    marker = re.fullmatch(r"\.(.+)\.(?:begun|done)\.json", path.name)
    return f"restore it or redo the stage with --redo {path.parent.name}/{marker[1]}" if marker else REDO


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_text_atomically(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")
