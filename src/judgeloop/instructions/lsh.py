"""Which texts of a pool may lie above a ROUGE-L threshold, found by MinHash: nearly all of them.

F > t means that the multisets of tokens overlap in more than t(m+n)/2, so their Jaccard similarity, overlap over
(m+n - overlap), is above t/(2-t). MinHash with b bands of r rows (Leskovec, Rajaraman and Ullman, "Mining of Massive
Datasets", chapter 3) finds a pair of Jaccard similarity J with probability 1 - (1 - J^r)^b.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from judgeloop.instructions.bounds import Encoded, Integers
from judgeloop.instructions.tokens import tokens_of

LEAST_RECALL = 0.95  # of a pair that lies just above the threshold; nearer ones are found more surely
_MOST_HASHES = 256


def bands_and_rows(threshold: float) -> tuple[int, int]:
    """(b, r) for a ROUGE-L threshold: the most rows, which let the fewest others through, with at least
    `LEAST_RECALL` at the threshold and at most 256 hashes."""
    jaccard = threshold / (2 - threshold)
    found = (_MOST_HASHES, 1)
    for rows in range(1, _MOST_HASHES + 1):
        chance = jaccard**rows
        bands = 2 if chance >= 1 else max(2, math.ceil(math.log(1 - LEAST_RECALL) / math.log1p(-chance)))
        if bands * rows > _MOST_HASHES:
            break
        found = (bands, rows)
    return found


class LshIndex:
    """Entries 0, 1, … in datasketch's MinHashLSH, over tokens (the second occurrence of one being another token)."""

    def __init__(self, threshold: float) -> None:
        from datasketch import MinHash, MinHashLSH

        self.bands, self.rows = bands_and_rows(threshold)
        self.recall_at_threshold = 1 - (1 - (threshold / (2 - threshold)) ** self.rows) ** self.bands
        self._empty = MinHash(num_perm=self.bands * self.rows, seed=1, hashfunc=zlib.crc32)
        self._lsh = MinHashLSH(num_perm=self.bands * self.rows, params=(self.bands, self.rows))
        self._size = 0

    def add(self, encoded: Encoded) -> None:
        """Append an entry."""
        self._lsh.insert(self._size, self._minhash(encoded.text), check_duplication=False)
        self._size += 1

    def candidates(self, queries: Sequence[Encoded]) -> Iterator[tuple[Integers, Integers]]:
        """Pairs (place in `queries`, entry) that may lie above the threshold; few of those that do are missing."""
        for place, query in enumerate(queries):
            entries = np.array(self._lsh.query(self._minhash(query.text)), dtype=np.int64)
            if len(entries):
                yield np.full(len(entries), place), entries

    def _minhash(self, text: str) -> Any:
        # Hashes of the tokens themselves: a pool built up again in another order must find the same.
        before: Counter[str] = Counter()
        items = []
        for token in tokens_of(text):
            items.append(f"{token} {before[token]}".encode())
            before[token] += 1
        minhash = self._empty.copy()
        minhash.update_batch(items)
        return minhash
