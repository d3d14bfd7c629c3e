"""Novelty: a prompt whose ROUGE-L with any other is too high is not new (Self-Instruct, arXiv 2212.10560, §2.2).

Exact for every pair, without looking at every pair: an index gives those that share a rare token (prefix_index.py),
bounds drop those that cannot pass (rouge_bounds.py), and the longest common subsequence decides on the few that are
left.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import LCSseq

from judgeloop.text.prefix_index import PrefixIndex
from judgeloop.text.rouge_bounds import Bounds, Encoded, Outlines, signature_of
from judgeloop.text.tokens import rouge_l, tokens_of

IDENTICAL = math.nextafter(1.0, 0.0)  # the highest threshold that a copy, of ROUGE-L 1, is still above
_BLOCK = 512  # texts looked up together by `add_novel`
_SYMBOLS = 0x110000  # characters there are


@dataclass(frozen=True, slots=True)
class Match:
    """A prompt of the pool that a new one comes too close to: its text, the label it was added with, ROUGE-L F."""

    text: str
    label: str
    score: float


class NoveltyPool:
    """Prompts so far. A new one is novel if its ROUGE-L F with each of them is at most `max_rouge_l`; at 1, if it
    is none of them word by word."""

    def __init__(self, max_rouge_l: float) -> None:
        self.max_rouge_l = max_rouge_l = min(max_rouge_l, IDENTICAL)
        self._bounds = Bounds(max_rouge_l)
        self._outlines = Outlines(self._bounds)
        self._index = PrefixIndex(self._bounds, self._outlines)
        self._ids: dict[str | tuple[int, int], int] = {}
        self._entries: list[tuple[str, str, str]] = []  # text, label, symbols

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, text: str, label: str = "pool") -> None:
        """Add a prompt without asking whether it is novel."""
        self._add(self._encode(text), label)

    def matches(self, text: str) -> list[Match]:
        """Every prompt whose ROUGE-L F with the text is above the threshold, in the order they were added."""
        query = self._encode(text)
        return [self._match(entry, score) for entry, score in self._above(query, self._candidates(query))]

    def nearest(self, text: str) -> Match | None:
        """The prompt with the highest ROUGE-L F above the threshold (the first added of equals), or None."""
        query = self._encode(text)
        found = _highest(self._above(query, self._candidates(query)))
        return None if found is None else self._match(*found)

    def add_if_novel(self, text: str, label: str = "pool") -> Match | None:
        """Add the prompt and return None, or return what it comes too close to and leave the pool as it was."""
        query = self._encode(text)
        found = _highest(self._above(query, self._candidates(query)))
        if found is None:
            self._add(query, label)
            return None
        return self._match(*found)

    def add_novel(self, texts: Sequence[str], label: str = "pool") -> list[Match | None]:
        """`add_if_novel` of one text after the other, the same answers, faster for many: they are looked up in
        blocks, and within a block every text is compared with every other by the bounds alone."""
        answers: list[Match | None] = []
        for start in range(0, len(texts), _BLOCK):
            block = texts[start : start + _BLOCK]
            answers += self._add_block([self._encode(text) for text in block], label)
        return answers

    def _encode(self, text: str) -> Encoded:
        ids, keys, symbols = self._ids, [], []
        seen: dict[int, int] = {}
        for token in tokens_of(text):
            number = ids.setdefault(token, len(ids))
            symbols.append(chr(number % _SYMBOLS))
            before = seen.get(number, 0)
            seen[number] = before + 1
            keys.append(ids.setdefault((number, before), len(ids)) if before else number)
        return Encoded(text, "".join(symbols), keys, signature_of(keys))

    def _add(self, encoded: Encoded, label: str) -> None:
        self._outlines.add(encoded)
        self._index.add(encoded)
        self._entries.append((encoded.text, label, encoded.symbols))

    def _match(self, entry: int, score: float) -> Match:
        text, label, _ = self._entries[entry]
        return Match(text, label, score)

    def _candidates(self, query: Encoded) -> list[int]:
        return self._block_candidates([query])[0]

    def _block_candidates(self, queries: Sequence[Encoded]) -> dict[int, list[int]]:
        """For each place in `queries` the entries that may lie above the threshold, in order, each once."""
        found: dict[int, list[int]] = defaultdict(list)
        for whose, entries in self._index.candidates(queries):
            may = self._outlines.pairs_may_pass(queries, whose, entries)
            pairs = np.unique(whose[may] * len(self) + entries[may])
            for place, entry in zip((pairs // len(self)).tolist(), (pairs % len(self)).tolist(), strict=True):
                found[place].append(entry)
        return found

    def _above(self, query: Encoded, entries: Sequence[int]) -> list[tuple[int, float]]:
        """(entry, ROUGE-L F) of those above the threshold."""
        scored = []
        for entry in entries:
            score = self._score(query.text, query.symbols, *self._entries[entry][::2])
            if score > self.max_rouge_l:
                scored.append((entry, score))
        return scored

    def _score(self, text: str, symbols: str, other_text: str, other_symbols: str) -> float:
        """ROUGE-L F, exact if it is above the threshold."""
        total = len(symbols) + len(other_symbols)
        score = 2 * LCSseq.similarity(symbols, other_symbols, score_cutoff=self._bounds.needed(total)) / total
        if score > self.max_rouge_l and len(self._ids) > _SYMBOLS:
            return rouge_l(tokens_of(text), tokens_of(other_text))  # two tokens may share a character
        return score

    def _add_block(self, block: Sequence[Encoded], label: str) -> list[Match | None]:
        before = self._block_candidates(block)
        inside = Outlines(self._bounds)
        for encoded in block:
            inside.add(encoded)
        answers: list[Match | None] = []
        added: dict[int, int] = {}  # place in the block → entry
        for place, query in enumerate(block):
            near = np.flatnonzero(inside.may_pass(query, slice(0, place))).tolist()
            entries = before[place] + [added[other] for other in near if other in added]
            found = _highest(self._above(query, entries))
            if found is None:
                added[place] = len(self)
                self._add(query, label)
                answers.append(None)
            else:
                answers.append(self._match(*found))
        return answers


def _highest(scored: Sequence[tuple[int, float]]) -> tuple[int, float] | None:
    return max(scored, key=lambda item: item[1], default=None)
