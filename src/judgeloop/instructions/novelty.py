"""Novelty: a prompt whose ROUGE-L with any other is too high is no new prompt (Self-Instruct, arXiv 2212.10560, §2.2).

Exact for every pair, without looking at every pair: a pair above the threshold must share many tokens, so it shares
one of the rarest tokens of the new prompt; only those pairs are compared.
"""

from __future__ import annotations

import math
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import LCSseq

# Scripts written without spaces, and Korean, count by characters: kana, Han, Hangul, Thai, Lao, Burmese, Khmer.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\u1100-\u11ff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")


def tokens_of(text: str) -> list[str]:
    """Words in lower case for spaced scripts, characters for Chinese, Japanese, Korean and other unspaced scripts.

    A text without any (only signs) gives its characters, so that such texts too can be told apart.
    """
    plain = unicodedata.normalize("NFKC", text).lower()
    return _TOKEN.findall(plain) or [character for character in plain if not character.isspace()]


def rouge_l(left: Sequence[str], right: Sequence[str]) -> float:
    """ROUGE-L F of two token sequences: 2·LCS/(m+n), the harmonic mean of LCS/m and LCS/n; 0 where one is empty."""
    if not left or not right:
        return 0.0
    return 2 * LCSseq.similarity(list(left), list(right)) / (len(left) + len(right))


@dataclass(frozen=True, slots=True)
class Match:
    """A prompt of the pool that a new one comes too close to: its text, the label it was added with, ROUGE-L F."""

    text: str
    label: str
    score: float


class NoveltyPool:
    """Prompts so far. A new one is novel where its ROUGE-L F with each of them is at most `max_rouge_l`."""

    def __init__(self, max_rouge_l: float) -> None:
        self.max_rouge_l = max_rouge_l
        self._ids: dict[str, int] = {}
        self._entries: list[tuple[str, str, array[int]]] = []
        # (token id, how many of that token came before it in the prompt) → entries: repeats count as tokens of
        # their own, as they do in the longest common subsequence.
        self._postings: dict[tuple[int, int], array[int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, text: str, label: str = "pool") -> None:
        """Add a prompt without asking whether it is novel."""
        sequence = array("I", [self._ids.setdefault(token, len(self._ids)) for token in tokens_of(text)])
        for key in _occurrences(sequence):
            self._postings.setdefault(key, array("I")).append(len(self._entries))
        self._entries.append((text, label, sequence))

    def nearest(self, text: str) -> Match | None:
        """The prompt with the highest ROUGE-L F above the threshold (the first added of equals), or None."""
        unknown = len(self._ids)
        fresh: dict[str, int] = {}
        sequence = array(
            "I",
            [
                self._ids[token] if token in self._ids else fresh.setdefault(token, unknown + len(fresh))
                for token in tokens_of(text)
            ],
        )
        best: Match | None = None
        for index in self._candidates(sequence):
            other, label, tokens = self._entries[index]
            total = len(sequence) + len(tokens)
            floor = self.max_rouge_l if best is None else best.score
            needed = max(0, math.floor(floor * total / 2))
            if min(len(sequence), len(tokens)) < needed:
                continue
            score = 2 * LCSseq.similarity(sequence, tokens, score_cutoff=needed) / total
            if score > floor:
                best = Match(other, label, score)
        return best

    def add_if_novel(self, text: str, label: str = "pool") -> Match | None:
        """Add the prompt and return None, or return what it comes too close to and leave the pool as it was."""
        match = self.nearest(text)
        if match is None:
            self.add(text, label)
        return match

    def _candidates(self, sequence: array[int]) -> list[int]:
        """Every entry that may lie above the threshold t.

        With m tokens here and n there, F > t needs LCS > t(m+n)/2, and LCS ≤ n, so n > tm/(2-t) and thereby
        LCS > tm/(2-t). An entry that shares that many of the m tokens cannot miss all but so many of them: it has
        one of the m - floor(tm/(2-t)) rarest.
        """
        keys = sorted(_occurrences(sequence), key=lambda key: len(self._postings.get(key, ())))
        certain = math.floor(self.max_rouge_l * len(keys) / (2 - self.max_rouge_l) + 1e-9)
        found: set[int] = set()
        for key in keys[: len(keys) - certain]:
            found.update(self._postings.get(key, ()))
        return sorted(found)


def _occurrences(sequence: array[int]) -> list[tuple[int, int]]:
    before: Counter[int] = Counter()
    keys = []
    for token in sequence:
        keys.append((token, before[token]))
        before[token] += 1
    return keys
