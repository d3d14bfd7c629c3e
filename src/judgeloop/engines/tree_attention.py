"""Attention over a token tree: each token sees the tokens before it on its own path, whatever else is in the row.

It is registered with transformers, so a model of any architecture that looks its attention up there runs a tree as one
row of tokens: its matrix products go over all tokens at once, and nothing is padded but in here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from judgeloop.engines.token_tree import Branch, TokenTree

_NAME = "judgeloop_option_trees"
_QUERIES = 128  # of a branch at a time: a long branch's first tokens do not look at its last ones
_ALIKE = 0.7  # pieces are padded to the longest of their block: none has less than this share of it
_PAIRS = 2**17  # of a query and a key in a block: few enough to stay in a processor's cache


class UnknownAttention(Exception):
    """The model's attention does something that this one does not do."""


class _Block:
    """Pieces of branches, of like lengths: `queries` (pieces, q) places in the row, `keys` (pieces, k) places in
    prefix + row, `positions` (pieces, q) of the queries. Padding repeats what is there."""

    def __init__(self, pieces: Sequence[Branch], prefix: int, device: Any) -> None:
        q = max(len(piece.path) - piece.start for piece in pieces)
        k = max(len(piece.path) for piece in pieces)
        positions = [[min(piece.start + n, len(piece.path) - 1) for n in range(q)] for piece in pieces]
        queries = [[piece.path[at] - prefix for at in row] for piece, row in zip(pieces, positions, strict=True)]
        self.queries = torch.tensor(queries, device=device)
        self.keys = torch.tensor([piece.path + piece.path[-1:] * (k - len(piece.path)) for piece in pieces]).to(device)
        self._positions = torch.tensor(positions, device=device)
        self._masks: dict[Any, Tensor] = {}

    def mask(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """0 for what a query sees, else -inf: (pieces, 1, 1, q, k)."""
        if (window, dtype) not in self._masks:
            distance = self._positions[:, :, None] - torch.arange(self.keys.shape[1], device=self.keys.device)
            seen = (distance >= 0) if window is None else (distance >= 0) & (distance < window)
            mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
            self._masks[window, dtype] = mask[:, None, None]
        return self._masks[window, dtype]


class TreePlan:
    """What attention needs to know of a tree, made once for all layers.

    `prefix` is the `kept` of the plan of the tokens before the row: keys and values (heads, tokens, head size) of every
    layer. `keep`: are this tree's wanted?
    """

    def __init__(
        self, tree: TokenTree, device: Any, prefix: dict[Any, tuple[Tensor, Tensor]] | None = None, keep: bool = False
    ) -> None:
        self.prefix = prefix or {}
        self.kept: dict[Any, tuple[Tensor, Tensor]] | None = {} if keep else None
        pieces = sorted(_pieces(tree.branches), key=lambda piece: len(piece.path) - piece.start, reverse=True)
        self.blocks = [_Block(block, tree.prefix, device) for block in _alike(pieces)]
        back = torch.empty(len(tree.ids), dtype=torch.long)
        queries = torch.cat([block.queries.flatten() for block in self.blocks])
        back[queries.cpu()] = torch.arange(len(queries))
        self.back = back.to(device)  # where in the blocks' queries each token of the row is


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


@contextmanager
def tree_attention(model: Any) -> Iterator[None]:
    """Within it `model` takes a `tree_plan` with a tree's ids and positions as one row; each layer that calls its
    attention in another way than transformers' own models do raises UnknownAttention or ignores the tree."""
    config = model.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    tree_plan: TreePlan | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Outputs (1, tokens, heads, value size) of the queries (1, heads, tokens, head size)."""
    odd = [name for name in ("softcap", "s_aux", "position_bias") if others.get(name) is not None]
    causal = others.get("is_causal")
    if causal is None:
        causal = getattr(module, "is_causal", True)
    if tree_plan is None or attention_mask is not None or odd or len(query) != 1 or not causal:
        raise UnknownAttention(f"{type(module).__name__}: {', '.join(odd) or 'no plan, a mask or several rows'}")
    queries, keys, values = query[0].transpose(0, 1), key[0], value[0]
    if tree_plan.kept is not None:
        tree_plan.kept[module] = (keys, values)
    if tree_plan.prefix:
        keys, values = (torch.cat(parts, 1) for parts in zip(tree_plan.prefix[module], (keys, values), strict=True))
    heads, group = len(keys), query.shape[1] // len(keys)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found = []
    for block in tree_plan.blocks:
        rows, q = block.queries.shape
        # One product for all heads that share keys: (rows × heads, group × q, size).
        asked = queries[block.queries].view(rows, q, heads, group, -1).permute(0, 2, 3, 1, 4)
        asked = asked.reshape(rows * heads, group * q, -1)
        seen, held = (states[:, block.keys].transpose(0, 1).flatten(0, 1) for states in (keys, values))
        scores = torch.bmm(asked, seen.transpose(1, 2))
        masked = scores.view(rows, heads, group, q, -1)
        torch.add(block.mask(sliding_window, query.dtype), masked, alpha=scale, out=masked)
        output = torch.bmm(scores.softmax(-1), held).view(rows, heads, group, q, -1).permute(0, 3, 1, 2, 4)
        found.append(output.reshape(rows * q, heads * group, -1))
    return torch.cat(found)[tree_plan.back].unsqueeze(0), None


AttentionInterface.register(_NAME, _attend)
