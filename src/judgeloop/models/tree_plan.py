"""What attention needs to know of a token tree: which queries are multiplied with which keys, together.

The tokens of a branch look at the tokens of their path. Branches are cut into pieces, and pieces of like length are a
block, padded to the longest: one product for all of them. A layout says which rows the blocks gather from the states of
all tokens and heads, all blocks at once, and where a token's results are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from judgeloop.models.host import to_device
from judgeloop.models.token_tree import Branch, TokenTree

_QUERIES = 128  # of a branch at a time: a long branch's first tokens do not look at its last ones
_ALIKE = 0.7  # pieces are padded to the longest of their block: none has less than this share of it
_WHOLE = 32  # a block's keys are a multiple of it: a softmax in bf16 takes a third less time over whole vectors
_PAIRS = 2**17  # of a query and a key in a block: few enough to stay in a processor's cache


class Block:
    """Pieces of branches, of like lengths: `queries` (pieces, q) places in the row, `keys` (pieces, k) places in
    prefix + row. Padding repeats what is there; `padding` (pieces, q) says which queries are that."""

    def __init__(self, pieces: Sequence[Branch], prefix: int, device: Any) -> None:
        q = max(len(piece.path) - piece.start for piece in pieces)
        k = math.ceil(max(len(piece.path) for piece in pieces) / _WHOLE) * _WHOLE
        positions = [[min(piece.start + n, len(piece.path) - 1) for n in range(q)] for piece in pieces]
        queries = [[piece.path[at] - prefix for at in row] for row, piece in zip(positions, pieces, strict=True)]
        self.shape = len(pieces), q, k
        self.queries = torch.tensor(queries)
        self.keys = torch.tensor([piece.path + piece.path[-1:] * (k - len(piece.path)) for piece in pieces])
        brought = torch.tensor([len(piece.path) - piece.start for piece in pieces])
        self.padding = torch.arange(q) >= brought[:, None]
        self._positions = to_device(torch.tensor(positions), device)
        self._masks: dict[Any, Tensor] = {}

    def mask(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """0 for what a query sees, else -inf: (pieces, 1, 1, q, k)."""
        if (window, dtype) not in self._masks:
            distance = self._positions[:, :, None] - torch.arange(self.shape[2], device=self._positions.device)
            seen = (distance >= 0) if window is None else (distance >= 0) & (distance < window)
            mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
            self._masks[window, dtype] = mask[:, None, None]
        return self._masks[window, dtype]


@dataclass(frozen=True)
class Layout:
    """Rows of all blocks, one after the other, for some number of heads. Within a block they are ordered by piece, key
    head, query head of that key head, and place.

    `queries` and `keys` index states of (tokens × heads) rows, of which `key_rows` have keys; `padding` says which
    gathered queries are padding, and `back` which gathered query each of the rows is.
    """

    queries: Tensor
    keys: Tensor
    padding: Tensor
    back: Tensor
    key_rows: int

    @cached_property
    def gathered_from(self) -> tuple[Tensor, Tensor]:
        """The gathered keys by the row that they were gathered from, and where in that order each row's begin: what a
        gradient alone asks for."""
        rows, order = self.keys.sort(stable=True)
        return order, torch.searchsorted(rows, torch.arange(self.key_rows + 1, device=rows.device))


class TreePlan:
    """What attention needs to know of a tree, made once for all layers.

    `prefix` is the `kept` of the plan of the tokens before the row: keys and values (heads, tokens, head size) of every
    layer; no gradient reaches them. `keep`: are this tree's wanted?
    """

    def __init__(
        self, tree: TokenTree, device: Any, prefix: dict[Any, tuple[Tensor, Tensor]] | None = None, keep: bool = False
    ) -> None:
        self.prefix = prefix or {}
        self.kept: dict[Any, tuple[Tensor, Tensor]] | None = {} if keep else None
        pieces = sorted(_pieces(tree.branches), key=lambda piece: len(piece.path) - piece.start, reverse=True)
        self.blocks = [Block(block, tree.prefix, device) for block in _alike(pieces)]
        self._tokens, self._with_prefix, self._device = len(tree.ids), tree.prefix + len(tree.ids), device
        self._layouts: dict[tuple[int, int], Layout] = {}

    def layout(self, query_heads: int, key_heads: int) -> Layout:
        """For layers of so many heads; `query_heads` is a multiple of `key_heads`."""
        heads = query_heads, key_heads
        if heads not in self._layouts:
            self._layouts[heads] = self._laid_out(*heads)
        return self._layouts[heads]

    def _laid_out(self, query_heads: int, key_heads: int) -> Layout:
        heads = torch.arange(query_heads).view(key_heads, -1, 1)
        queries = _flat(block.queries[:, None, None] * query_heads + heads for block in self.blocks)
        padding = _flat(block.padding[:, None, None].expand(-1, *heads.shape[:2], -1) for block in self.blocks)
        keys = _flat(block.keys[:, None] * key_heads + torch.arange(key_heads)[:, None] for block in self.blocks)
        back = torch.empty(self._tokens * query_heads, dtype=torch.long)
        back[queries[~padding]] = (~padding).nonzero().squeeze(1)
        places = padding.nonzero().squeeze(1)
        queries, keys, places, back = (to_device(index, self._device) for index in (queries, keys, places, back))
        return Layout(queries, keys, places, back, self._with_prefix * key_heads)


def _flat(parts: Iterator[Tensor]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


def _pieces(branches: Sequence[Branch]) -> Iterator[Branch]:
    for branch in branches:
        for start in range(branch.start, len(branch.path), _QUERIES):
            yield Branch(start, branch.path[: start + _QUERIES])


def _alike(pieces: Sequence[Branch]) -> Iterator[list[Branch]]:
    """Blocks of pieces, which come with the longest first."""
    block: list[Branch] = []
    q = k = 0
    for piece in pieces:
        more = max(k, len(piece.path))
        if block and (len(piece.path) - piece.start < _ALIKE * q or (len(block) + 1) * q * more > _PAIRS):
            yield block
            block = []
        if not block:
            q, more = len(piece.path) - piece.start, len(piece.path)
        k = more
        block.append(piece)
    yield block
