"""Token sequences that begin alike, laid out flat as one row: a token that several begin with is there once.

In sorted order every sequence begins with part of the one before it and brings the rest. What it brings follows in the
row, and its path says where in the row its tokens are, from the first to the last. A model that lets each token see
the tokens before it on its path computes what it would for every sequence alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Branch:
    """What one sequence brings: the tokens from `start` on of its `path` (places in prefix + row)."""

    start: int
    path: list[int]


@dataclass(slots=True)
class TokenTree:
    """Some sequences after `prefix` tokens that all of them begin with and that are not in the row.

    `ids` and `positions` (tokens of the row); `branches` of the sequences that brought tokens; `paths[i]` of the i-th
    sequence of the tree, in prefix + row.
    """

    prefix: int
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)

    def add(self, sequence: Sequence[int], shared: int) -> None:
        """Add a sequence whose first `shared` tokens (at least the prefix) are those of the sequence added before."""
        first = self.prefix + len(self.ids)
        before = self.paths[-1] if self.paths else list(range(self.prefix))
        path = [*before[:shared], *range(first, first + len(sequence) - shared)]
        self.paths.append(path)
        if shared < len(sequence):
            self.ids += sequence[shared:]
            self.positions += range(shared, len(sequence))
            self.branches.append(Branch(shared, path))


def trees(sequences: Sequence[Sequence[int]], prefix: int, budget: int) -> Iterator[tuple[TokenTree, list[int]]]:
    """Trees of at most `budget` tokens (or one sequence) beyond the first `prefix` tokens that all sequences share.

    With each come the places of its sequences in `sequences`, in the order of its paths. Sequences in sorted order
    share the most.
    """
    tree, places, before = TokenTree(prefix), list[int](), sequences[0] if sequences else ()
    for place, sequence in enumerate(sequences):
        shared = common(before, sequence) if places else prefix
        if places and len(tree.ids) + len(sequence) - shared > budget:
            yield tree, places
            tree, places, shared = TokenTree(prefix), [], prefix
        tree.add(sequence, shared)
        places.append(place)
        before = sequence
    if places:
        yield tree, places


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
