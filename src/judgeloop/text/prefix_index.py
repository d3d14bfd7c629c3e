"""Which texts of a pool may lie above a ROUGE-L threshold, found exactly and without looking at every one.

A pair above the threshold shares at least `needed` keys, so its shared keys cannot all be among the last
`needed - 1` of either text, whatever the order: one is among the first m - needed + 1. With the rarest keys first
these prefixes are shared with few texts (prefix filtering: Chaudhuri, Ganti and Kaushik, "A primitive operator for
similarity joins in data cleaning", ICDE 2006; with positions: Xiao et al., "Efficient similarity joins for near
duplicate detection", WWW 2008; here with the bound of ROUGE-L). Postings of short and long texts are apart, because
a query needs a longer prefix for the short ones.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from judgeloop.errors import InputError
from judgeloop.text.rouge_bounds import Bounds, Encoded, Integers, Outlines, length_bins

_REST_BITS = 24  # a posting is: entry << 24 | tokens of the entry from the key on
_REST = (1 << _REST_BITS) - 1
_BIN_BITS = 7
_FIRST_ORDER = 256
_AT_ONCE = 1 << 20  # postings looked at together: bounds the memory


class PrefixIndex:
    """Entries 0, 1, … by their rarest keys."""

    def __init__(self, bounds: Bounds, outlines: Outlines) -> None:
        self._bounds = bounds
        self._outlines = outlines
        self._bins = length_bins(_REST)
        self._entries: list[list[int]] = []
        self._frequency: list[int] = []  # key → entries that have it
        self._rank: list[int] = []  # key → its place in the order, rarest first
        self._postings: dict[int, array[int]] = {}
        self._kept: dict[int, int] = {}  # length of an entry → how many of its keys are posted
        self._depths: dict[int, list[tuple[int, int]]] = {}  # length of a query → (bin, how many keys to look up)
        self._next_order = _FIRST_ORDER

    def add(self, encoded: Encoded) -> None:
        """Append an entry. Raises InputError for a text of more than 16 million tokens."""
        if len(encoded.keys) > _REST:
            raise InputError(f"a text of {len(encoded.keys)} tokens is too long to compare with others; remove it")
        self._rank_new(encoded.keys)
        for key in encoded.keys:
            self._frequency[key] += 1
        self._entries.append(encoded.keys)
        self._post(len(self._entries) - 1)
        if len(self._entries) >= self._next_order:
            self._reorder()

    def candidates(self, queries: Sequence[Encoded]) -> Iterator[tuple[Integers, Integers]]:
        """Pairs (place in `queries`, entry) that may lie above the threshold; one may come twice."""
        sizes = np.array([len(query.keys) for query in queries])
        gathered: array[int] = array("q")
        runs: list[tuple[int, int, int]] = []  # (place, tokens of the query from the key on, postings)
        get = self._postings.get
        for place, query in enumerate(queries):
            self._rank_new(query.keys)
            keys = sorted(query.keys, key=self._rank.__getitem__)
            size = len(keys)
            for number, depth in self._depths_of(size):
                for i in range(depth):
                    found = get(keys[i] << _BIN_BITS | number)
                    if found is not None:
                        gathered += found
                        runs.append((place, size - i, len(found)))
            if len(gathered) > _AT_ONCE:
                yield self._near(gathered, runs, sizes)
                gathered, runs = array("q"), []
        if runs:
            yield self._near(gathered, runs, sizes)

    def _near(
        self, gathered: array[int], runs: Sequence[tuple[int, int, int]], sizes: Integers
    ) -> tuple[Integers, Integers]:
        postings = np.frombuffer(gathered, dtype=np.int64)
        places, rests, counts = np.array(runs).T
        whose = np.repeat(places, counts)
        entries = postings >> _REST_BITS
        # If the key is the first that they share, they share it and at most what follows it in either.
        at_most = np.minimum(np.repeat(rests, counts), postings & _REST)
        near = at_most >= self._bounds.needed_all(sizes[whose] + self._outlines.lengths[entries])
        return whose[near], entries[near]

    def _rank_new(self, keys: Sequence[int]) -> None:
        """Keys newer than the order count as rarer than all in it, the newest as the rarest."""
        for key in range(len(self._rank), max(keys, default=-1) + 1):
            self._rank.append(-key)
            self._frequency.append(0)

    def _post(self, entry: int) -> None:
        keys = sorted(self._entries[entry], key=self._rank.__getitem__)
        size = len(keys)
        number = bisect_right(self._bins, size) - 1
        for i in range(self._kept_of(size)):
            postings = self._postings.setdefault(keys[i] << _BIN_BITS | number, array("q"))
            postings.append(entry << _REST_BITS | (size - i))

    def _kept_of(self, size: int) -> int:
        if size not in self._kept:
            shortest = self._bounds.shortest_partner(size)
            self._kept[size] = 0 if shortest is None else size - self._bounds.needed(size + shortest) + 1
        return self._kept[size]

    def _depths_of(self, size: int) -> list[tuple[int, int]]:
        if size not in self._depths:
            shortest, depths = self._bounds.shortest_partner(size), []
            if shortest is not None:
                bins = range(
                    bisect_right(self._bins, shortest) - 1,
                    bisect_right(self._bins, self._bounds.longest_partner(size)),
                )
                for number in bins:
                    least = max(self._bins[number], shortest)
                    depths.append((number, size - self._bounds.needed(size + least) + 1))
            self._depths[size] = depths
        return self._depths[size]

    def _reorder(self) -> None:
        """Order the keys by how many entries have them and post all entries again, whenever the pool has doubled."""
        self._next_order = 2 * len(self._entries)
        for rank, key in enumerate(sorted(range(len(self._frequency)), key=lambda key: (self._frequency[key], -key))):
            self._rank[key] = rank
        self._postings.clear()
        for entry in range(len(self._entries)):
            self._post(entry)
