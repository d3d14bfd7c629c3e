"""Rows of one question and its answers, and a file of them: what the tests of ratings and votes have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
U, A, B = "Why does rain smell?", "It is petrichor.", "No idea."


def user(text: str = U) -> dict[str, str]:
    return {"role": "user", "content": text}


def bot(text: str = A) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def write(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
