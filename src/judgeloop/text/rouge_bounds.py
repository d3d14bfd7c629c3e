"""What two texts must share before their ROUGE-L F can be above a threshold: bounds cheaper than the LCS itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Bits = NDArray[np.uint64]
_WORDS = 4  # 64-bit words of a signature
_SPREAD = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: consecutive numbers fall far apart


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as numbers.

    `symbols`: one character a token, for the LCS. `keys`: one number a token; the second occurrence of a token
    has a number of its own, so that two texts share as many keys as their multisets of tokens overlap. `signature`: the
    keys hashed into 256 bits, as four 64-bit words.
    """

    text: str
    symbols: str
    keys: list[int]
    signature: Bits


def signature_of(keys: Sequence[int]) -> Bits:
    """The keys hashed into 256 bits."""
    bits = 0
    for key in keys:
        bits |= 1 << ((key * _SPREAD & 0xFFFFFFFFFFFFFFFF) >> 56)
    return np.frombuffer(bits.to_bytes(8 * _WORDS, "little"), dtype="<u8")


class Bounds:
    """The arithmetic of F = 2·LCS/(m+n) > threshold for texts of m and n tokens."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._table: Integers = np.zeros(0, dtype=np.int64)

    def needed(self, total: int) -> int:
        """The smallest LCS with which texts of `total` tokens together are above the threshold."""
        least = max(0, math.floor(self.threshold * total / 2) - 1)
        # The comparison itself, as floats do it, decides: rounding must not make two answers of one.
        while 2 * least / total <= self.threshold:
            least += 1
        return least

    def needed_all(self, totals: Integers) -> Integers:
        """`needed` of each of many totals."""
        top = int(totals.max(initial=0))
        if top >= len(self._table):
            every = np.arange(max(1024, 2 * top))
            table = np.maximum(np.floor(self.threshold * every / 2).astype(np.int64) - 1, 0)
            for _ in range(3):  # no more than three steps from there
                table += 2 * table / np.maximum(every, 1) <= self.threshold
            self._table = table
        found: Integers = self._table[totals]
        return found

    def shortest_partner(self, size: int) -> int | None:
        """The fewest tokens a text must have to come above the threshold with one of `size`; None: none can."""
        start = max(1, math.floor(self.threshold * size / (2 - self.threshold)) - 1)
        return next((n for n in range(start, size + 1) if self.needed(size + n) <= n), None)

    def longest_partner(self, size: int) -> int:
        """The most tokens a text may have to come above the threshold with one of `size`, if any can."""
        most = math.ceil(2 * size / self.threshold - size) + 1
        while self.needed(size + most) > size:
            most -= 1
        return most


class Outlines:
    """The lengths and signatures of entries 0, 1, …, and the bound that they give.

    A bit that one text has and the other lacks is a token, at least, that the other lacks. So the overlap of the two
    multisets of tokens, and with it the LCS, is at most a text's length less the number of its bits that the other
    lacks, seen from either side.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._size = 0
        self._lengths: Integers = np.zeros(64, dtype=np.int64)
        self._bits: Bits = np.zeros((64, _WORDS), dtype=np.uint64)

    @property
    def lengths(self) -> Integers:
        """Tokens of each entry."""
        return self._lengths[: self._size]

    def add(self, encoded: Encoded) -> None:
        """Append an entry."""
        if self._size == len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.zeros_like(self._lengths)])
            self._bits = np.concatenate([self._bits, np.zeros_like(self._bits)])
        self._lengths[self._size] = len(encoded.keys)
        self._bits[self._size] = encoded.signature
        self._size += 1

    def may_pass(self, query: Encoded, entries: Integers | slice) -> NDArray[np.bool_]:
        """For each of the entries, whether it and the query may lie above the threshold."""
        lengths = np.array([len(query.keys)])
        return self._may_pass(lengths, query.signature[None], self.lengths[entries], self._bits[: self._size][entries])

    def pairs_may_pass(self, queries: Sequence[Encoded], whose: Integers, entries: Integers) -> NDArray[np.bool_]:
        """As `may_pass`, for the pairs of query `whose[i]` and entry `entries[i]`."""
        lengths = np.array([len(query.keys) for query in queries])
        bits = np.stack([query.signature for query in queries])
        return self._may_pass(lengths[whose], bits[whose], self._lengths[entries], self._bits[entries])

    def _may_pass(self, lengths: Integers, bits: Bits, others: Integers, other_bits: Bits) -> NDArray[np.bool_]:
        overlap = np.minimum(
            lengths - np.bitwise_count(bits & ~other_bits).sum(axis=-1, dtype=np.int64),
            others - np.bitwise_count(other_bits & ~bits).sum(axis=-1, dtype=np.int64),
        )
        passes: NDArray[np.bool_] = overlap >= self._bounds.needed_all(lengths + others)
        return passes


def length_bins(limit: int, ratio: float = 1.35) -> list[int]:
    """Lower ends of bins of lengths up to `limit`: one by one at first, then each about `ratio` wide."""
    ends = [1]
    while ends[-1] < limit:
        ends.append(max(ends[-1] + 1, int(ends[-1] * ratio)))
    return ends
