"""Sequences that begin alike as one tree, in which every shared token is there once.

A rubric stands before every judge prompt, a prompt before each of its responses. As a tree (rubric → prompt →
response) such sequences go through a model as one flat row: the matrix products run over all tokens at once, without
padding, and attention lets a token see its own sequence alone. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

WORTH_SHARING = 16  # tokens; a branch costs attention a product of its own


@dataclass(frozen=True, slots=True)
class Node:
    """Tokens `start` … `end` − 1 of the flat row, which follow those of the node `parent` (−1: they begin sequences)."""

    start: int
    end: int
    parent: int


@dataclass(frozen=True, slots=True)
class TokenTree:
    """The flat row: `ids` and the position that each token has in its sequences; parents come before their children.
    `paths[i]` are the flat places of sequence i's tokens, in order."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], worth: int = WORTH_SHARING) -> TokenTree:
        """The tree of some sequences of token ids; beginnings shorter than `worth` tokens are not shared."""
        tree = cls(paths=[[] for _ in sequences])
        order = sorted(range(len(sequences)), key=lambda i: list(sequences[i]))
        if order:
            tree._grow(sequences, order, 0, -1, worth)
        return tree

    def ancestors(self, node: int) -> list[int]:
        """The flat places that the node's tokens see before their own, in the order of their positions."""
        chain: list[range] = []
        above = self.nodes[node].parent
        while above >= 0:
            chain.append(range(self.nodes[above].start, self.nodes[above].end))
            above = self.nodes[above].parent
        return [place for part in reversed(chain) for place in part]

    def _grow(self, sequences: Sequence[Sequence[int]], order: list[int], depth: int, parent: int, worth: int) -> None:
        """Add the tokens from `depth` on of the sequences in `order`, which are sorted and equal before it."""
        first, last = sequences[order[0]], sequences[order[-1]]
        common = depth + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first[depth:], last[depth:], strict=False)))
        if common - depth >= worth or common == len(last):
            if common > depth:
                parent = self._add(first[depth:common], depth, parent)
                place = self.nodes[parent].start
                for index in order:
                    self.paths[index].extend(range(place, place + common - depth))
            order = [index for index in order if len(sequences[index]) > common]
            depth = common
        while order:
            # Those that go on alike: as many as share the next token, past what is too short to be shared.
            token = sequences[order[0]][common] if len(sequences[order[0]]) > common else None
            alike = list(takewhile(lambda i: (sequences[i][common] if len(sequences[i]) > common else None) == token, order))
            self._grow(sequences, alike, depth, parent, worth)
            order = order[len(alike) :]

    def _add(self, ids: Sequence[int], depth: int, parent: int) -> int:
        start = len(self.ids)
        self.ids.extend(ids)
        self.positions.extend(range(depth, depth + len(ids)))
        self.nodes.append(Node(start, start + len(ids), parent))
        return len(self.nodes) - 1
