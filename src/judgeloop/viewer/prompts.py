"""The prompts of one iteration as a list that can be filtered, of any length: what each prompt became is worked out
once, in the background, as a few small numbers a prompt."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judgeloop.data.names import tag_of
from judgeloop.records import request_of
from judgeloop.text.printable import printable
from judgeloop.viewer.rows import RowFile, parsed

PAGE = 50
PAIR, NO_PAIR = "pair", "no pair"
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Filter:
    """What is looked for; an empty text or None is no condition. `low` and `high` bound the gap between the scores of
    chosen and rejected."""

    text: str = ""
    source: str = ""
    account: str = ""
    tag: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def needs_facts(self) -> bool:
        return bool(self.source or self.account or self.tag) or self.low is not None or self.high is not None


@dataclass(slots=True)
class Facts:
    """Of each prompt: the numbers of its source, account and tag in `names`, and the score gap of its pair (NaN without
    one). `size` says of how many rows of the files this was made."""

    size: tuple[int, int]
    source: NDArray[np.int32]
    account: NDArray[np.int32]
    tag: NDArray[np.int32]
    gap: NDArray[np.float32]
    names: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    """Rows by number, where the next page begins (None: there is none), and whether facts are still missing."""

    rows: list[tuple[int, dict[str, Any]]]
    following: int | None
    waiting: bool = False


class PromptList:
    """`prompts.jsonl` of one model's folder with the pairs that were made of it."""

    def __init__(self, folder: Path) -> None:
        self.prompts = RowFile(folder / "prompts.jsonl")
        self.pairs = RowFile(folder / "pairs.jsonl")
        self._facts: Facts | None = None
        self._worker: threading.Thread | None = None
        self._lock = threading.Lock()

    def facts(self, wait: float = 0.0) -> Facts | None:
        """What is known of each prompt, None while it is worked out (in a thread of its own)."""
        size = (len(self.prompts.refresh()), self.pairs.refresh().size)
        with self._lock:
            if self._facts is not None and self._facts.size == size:
                return self._facts
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._work, args=(size,), daemon=True)
                self._worker.start()
            worker = self._worker
        worker.join(wait)
        with self._lock:
            return self._facts if self._facts is not None and self._facts.size == size else None

    def _work(self, size: tuple[int, int]) -> None:
        gaps: dict[str, float] = {}
        for _, line in self.pairs.lines():
            row = parsed(line) or {}
            chosen, rejected = row.get("chosen_score"), row.get("rejected_score")
            if isinstance(chosen, (int, float)) and isinstance(rejected, (int, float)):
                gap = float(chosen) - float(rejected)
                gaps[str(row.get("prompt_id"))] = max(gap, gaps.get(str(row.get("prompt_id")), gap))
        count = size[0]
        source, account, tag = (np.full(count, _UNKNOWN, dtype=np.int32) for _ in range(3))
        facts = Facts(size, source, account, tag, np.full(count, np.nan, dtype=np.float32))
        numbers: dict[str, dict[str, int]] = {"source": {}, "account": {PAIR: 0, NO_PAIR: 1}, "tag": {}}
        for number, line in islice(self.prompts.lines(), count):
            prompt = parsed(line)
            if prompt is None:
                continue
            name = str(prompt.get("id"))
            facts.account[number] = 0 if name in gaps else 1
            facts.gap[number] = gaps.get(name, np.nan)
            for key, value in (("source", source_of(prompt)), ("tag", tag_of(prompt))):
                if value:
                    known: dict[str, int] = numbers[key]
                    getattr(facts, key)[number] = known.setdefault(printable(value), len(known))
        facts.names = {key: list(known) for key, known in numbers.items()}
        with self._lock:
            self._facts = facts

    def page(self, wanted: Filter, start: int = 0, count: int = PAGE, wait: float = 5.0) -> Page:
        """The rows from line `start` on that fit."""
        self.prompts.refresh()
        facts = self.facts(wait) if wanted.needs_facts else None
        if wanted.needs_facts and facts is None:
            return Page([], None, waiting=True)
        found: list[tuple[int, dict[str, Any]]] = []
        for number in self._fitting(wanted, facts, start):
            if len(found) == count:
                return Page(found, number)
            row = self.prompts.row(number)
            found.append((number, row if row is not None else {"damaged": True}))
        return Page(found, None)

    def _fitting(self, wanted: Filter, facts: Facts | None, start: int) -> Iterator[int]:
        mask = None if facts is None else self._mask(wanted, facts)
        if not wanted.text:
            numbers = range(start, len(self.prompts)) if mask is None else start + np.flatnonzero(mask[start:])
            yield from (int(number) for number in numbers)
            return
        needle = json.dumps(wanted.text.lower(), ensure_ascii=False)[1:-1]
        for number, line in self.prompts.lines(start):
            if (mask is None or (number < len(mask) and mask[number])) and needle in line.decode(
                "utf-8", "replace"
            ).lower():
                yield number

    def _mask(self, wanted: Filter, facts: Facts) -> NDArray[np.bool_]:
        mask = np.ones(len(facts.account), dtype=bool)
        for key in ("source", "account", "tag"):
            if value := getattr(wanted, key):
                names = facts.names[key]
                mask &= getattr(facts, key) == (names.index(value) if value in names else -2)
        if wanted.low is not None:
            mask &= facts.gap >= wanted.low  # NaN is neither
        if wanted.high is not None:
            mask &= facts.gap <= wanted.high
        return mask

    def place(self, prompt_id: str) -> int | None:
        """The line of a prompt."""
        needle = json.dumps(prompt_id, ensure_ascii=False).encode()
        return next((n for n, line in self.prompts.lines() if needle in line and (parsed(line) or {}).get("id")
                     == prompt_id), None)  # fmt: skip


def source_of(row: dict[str, Any]) -> str:
    """Where a prompt comes from, its line or request left out: "prompts.jsonl:484" is "prompts.jsonl", and
    "self_instruct:17.2" is "self_instruct"."""
    source = str(row.get("source") or "")
    named = request_of(source)
    return source if named is None else named.rpartition(":")[0]
