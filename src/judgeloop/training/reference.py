"""The reference's log-probabilities, computed once per iteration and kept under a key of all they depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.jsonl import write_text_atomically


@dataclass(frozen=True)
class ReferenceCache:
    """One file beside the model being made. `model` is the reference's content hash, `form` whatever else changes the
    numbers (ld_alpha, the method). Template and truncation are in the key through the token ids themselves."""

    path: Path
    model: str
    form: str = ""

    def key(self, rows: Sequence[Mapping[str, Any]], batches: Sequence[int], bf16: bool) -> str:
        """Over the reference's weights, every token id of every pair in order, the batches' sizes and the precision."""
        digest = hashlib.sha256(json.dumps([self.model, self.form, batches, bf16]).encode())
        for row in rows:
            digest.update(json.dumps([row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]]).encode())
        return digest.hexdigest()

    def read(self, key: str, rows: int) -> list[list[float]] | None:
        """[chosen sums, rejected sums], or None if the file is missing, damaged or of another key."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if found["key"] != key:
                return None
            sums = [[float(value) for value in side] for side in found["sums"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return sums if [len(side) for side in sums] == [rows, rows] else None

    def write(self, key: str, sums: list[list[float]]) -> None:
        write_text_atomically(self.path, json.dumps({"key": key, "sums": sums}))
