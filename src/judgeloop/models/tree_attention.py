"""Attention over a token tree: each token sees the tokens before it on its own path, whatever else is in the row.

It is registered with transformers, so a model of any architecture that looks its attention up there runs a tree as one
row of tokens: its matrix products go over all tokens at once, and nothing is padded but in here. In here, query heads
that share a key head are rows of one product, and pieces of like length are multiplied together. On a CPU such products
run at the rate of large ones, which those inside PyTorch's own attention do not, above all those of its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from judgeloop.models.host import to_device
from judgeloop.models.token_tree import Branch, TokenTree, trees

_NAME = "judgeloop_token_tree"
_QUERIES = 128  # of a branch at a time: a long branch's first tokens do not look at its last ones
_ALIKE = 0.7  # pieces are padded to the longest of their block: none has less than this share of it
_BY_LENGTH = ("dynamic", "longrope")  # kinds of rope whose angles depend on the longest sequence that runs
_DEVIATION = 1e-2  # of hidden states, as a share of their norm; in float32 a right tree is a thousand times nearer
_PAIRS = 2**17  # of a query and a key in a block: few enough to stay in a processor's cache
_TRIED: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()  # models, and whether they answer trees as sequences alone


class UnknownAttention(Exception):
    """The model's attention does something that this one does not do."""


class _Block:
    """Pieces of branches, of like lengths: `queries` (pieces × q) places in the row, `keys` (pieces × k) places in
    prefix + row, `positions` (pieces, q) of the queries. Padding repeats what is there; `padding` says which queries
    are that."""

    def __init__(self, pieces: Sequence[Branch], prefix: int, device: Any) -> None:
        q = max(len(piece.path) - piece.start for piece in pieces)
        k = max(len(piece.path) for piece in pieces)
        positions = [[min(piece.start + n, len(piece.path) - 1) for n in range(q)] for piece in pieces]
        queries = [piece.path[at] - prefix for at, piece in _each(positions, pieces)]
        repeated = [row * q + n for row, piece in enumerate(pieces) for n in range(len(piece.path) - piece.start, q)]
        keys = [place for piece in pieces for place in piece.path + piece.path[-1:] * (k - len(piece.path))]
        self.pieces = len(pieces)
        self.on_host = torch.tensor(queries, dtype=torch.long), torch.tensor(repeated, dtype=torch.long)
        self.queries, self.padding = (to_device(places, device) for places in self.on_host)
        self.keys = to_device(torch.tensor(keys, dtype=torch.long), device)
        self._positions = to_device(torch.tensor(positions), device)
        self._masks: dict[Any, Tensor] = {}

    def mask(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """0 for what a query sees, else -inf: (pieces, 1, 1, q, k)."""
        if (window, dtype) not in self._masks:
            distance = self._positions[:, :, None] - torch.arange(
                len(self.keys) // self.pieces, device=self.keys.device
            )
            seen = (distance >= 0) if window is None else (distance >= 0) & (distance < window)
            mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
            self._masks[window, dtype] = mask[:, None, None]
        return self._masks[window, dtype]


def _each(positions: Sequence[Sequence[int]], pieces: Sequence[Branch]) -> Iterator[tuple[int, Branch]]:
    return ((at, piece) for row, piece in zip(positions, pieces, strict=True) for at in row)


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
        self.blocks = [_Block(block, tree.prefix, device) for block in _alike(pieces)]
        queries = torch.cat([block.on_host[0] for block in self.blocks])
        real = torch.ones(len(queries), dtype=torch.bool)
        first = 0
        for block in self.blocks:
            real[first + block.on_host[1]] = False
            first += len(block.queries)
        back = torch.empty(len(tree.ids), dtype=torch.long)
        back[queries[real]] = real.nonzero().squeeze(1)
        self.back = to_device(back, device)
        """Where in the blocks' queries each token of the row is."""


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


def shortest_window(model: Any) -> float | None:
    """Tokens of the shortest window that a layer's attention has, infinite if none has one. None if the config tells of
    what no tree can stand for: a state, chunks, an encoder, rotary angles that depend on the longest sequence."""
    config = model.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    ropes = [rope, *(kind for kind in rope.values() if isinstance(kind, dict))]
    layers = DynamicCache(config=config).layers
    if (
        not layers
        or any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
        or any(kind.get("rope_type") in _BY_LENGTH for kind in ropes)
        or not getattr(model, "_supports_attention_backend", False)
        or getattr(config, "attention_chunk_size", None) is not None
        or getattr(config, "is_encoder_decoder", False)
    ):
        return None
    if not getattr(config, "use_sliding_window", True):
        return math.inf
    return min((float(layer.sliding_window) for layer in layers if type(layer) is not DynamicLayer), default=math.inf)


def tree_limit(model: Any) -> float:
    """Tokens of the longest sequence that a tree can stand for in training: 0 if the model takes none, for its
    attention is not SDPA's, or has dropout, or it does not answer a few short sequences as it answers them alone, which
    is tried once, since a config does not tell everything."""
    plain = model.config.get_text_config()._attn_implementation in ("sdpa", _NAME)
    dropout = any(getattr(module, "attention_dropout", 0.0) for module in model.modules())
    window = shortest_window(model) if plain and not dropout else None
    if window is None:
        return 0
    if model not in _TRIED:
        _TRIED[model] = _answers_alike(model)
    return window if _TRIED[model] else 0


def _answers_alike(model: Any) -> bool:
    tries = sorted([[1, 2, 3, 1, 2], [1, 2, 3, 2, 1, 3], [3, 1]])
    device, training = model.get_input_embeddings().weight.device, model.training
    model.eval()
    try:
        with torch.no_grad():
            ((tree, _),) = trees(tries, 0, sum(map(len, tries)))
            found = hidden_states(model, tree)
            alone = [
                model.base_model(input_ids=torch.tensor([ids], device=device), use_cache=False).last_hidden_state[0]
                for ids in tries
            ]
    except (UnknownAttention, KeyError, RuntimeError, TypeError, ValueError):
        return False
    finally:
        model.train(training)
    pairs = zip(tree.paths, alone, strict=True)
    return all(bool((found[path] - one).norm() <= _DEVIATION * one.norm()) for path, one in pairs)


def hidden_states(model: Any, tree: TokenTree) -> Tensor:
    """The last hidden state of every place of the row, (tokens, size)."""
    device = model.get_input_embeddings().weight.device
    with tree_attention(model):
        found = model.base_model(
            input_ids=to_device(torch.tensor([tree.ids]), device),
            position_ids=to_device(torch.tensor([tree.positions]), device),
            use_cache=False,
            tree_plan=TreePlan(tree, device),
        )
    states: Tensor = found.last_hidden_state[0]
    return states


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
    dropout: float = 0.0,
    sliding_window: int | None = None,
    tree_plan: TreePlan | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Outputs (1, tokens, heads, value size) of the queries (1, heads, tokens, head size)."""
    odd = [name for name in ("softcap", "s_aux", "position_bias") if others.get(name) is not None]
    causal = others.get("is_causal")
    if causal is None:
        causal = getattr(module, "is_causal", True)
    if tree_plan is None or attention_mask is not None or odd or dropout or len(query) != 1 or not causal:
        raise UnknownAttention(
            f"{type(module).__name__}: {', '.join(odd) or 'no plan, a mask, dropout or several rows'}"
        )
    kind = query.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    keys, values = key[0], value[0]
    if tree_plan.kept is not None:
        tree_plan.kept[module] = (keys, values)
    if tree_plan.prefix:
        keys, values = (torch.cat(parts, 1) for parts in zip(tree_plan.prefix[module], (keys, values), strict=True))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found: Tensor = _Attention.apply(query[0], keys, values, tree_plan, scale, sliding_window)
    return found.view(1, query.shape[2], query.shape[1], value.shape[-1]), None


AttentionInterface.register(_NAME, _attend)


class _Attention(torch.autograd.Function):
    """Of (heads, tokens, size), `keys` and `values` with as many heads or fewer, to (tokens, heads × value size)."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, keys: Tensor, values: Tensor, plan: TreePlan, scale: float, window: int | None
    ) -> Tensor:
        found, shares = [], []
        with torch.autocast(query.device.type, enabled=False):
            for block in plan.blocks:
                asked, seen, held = _rows(query, block, len(keys)), _columns(keys, block), _columns(values, block)
                scores = torch.bmm(asked, seen.transpose(1, 2))
                mask = block.mask(window, query.dtype)
                masked = scores.view(block.pieces, len(keys), -1, *mask.shape[-2:])
                torch.add(mask, masked, alpha=scale, out=masked)
                share = scores.softmax(-1)
                found.append(_by_token(torch.bmm(share, held), block, len(keys)))
                shares.append(share)
        ctx.plan, ctx.scale = plan, scale
        ctx.save_for_backward(query, keys, values, *shares)
        return torch.cat(found).index_select(0, plan.back)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, values, *shares = ctx.saved_tensors
        heads, of_query = len(keys), []
        upstream = gradients[0].to(query.dtype).view(query.shape[1], len(query), -1).transpose(0, 1)
        # In float32: a rubric's token is the key of every judgement after it.
        of_keys, of_values = (
            torch.zeros(states.shape[1], heads * states.shape[2], device=states.device) for states in (keys, values)
        )
        for block, share in zip(ctx.plan.blocks, shares, strict=True):
            above = _rows(upstream, block, heads, padding=0.0)
            asked, seen, held = _rows(query, block, heads), _columns(keys, block), _columns(values, block)
            of_values.index_add_(0, block.keys, _by_key(torch.bmm(share.transpose(1, 2), above), block, heads))
            of_shares = torch.bmm(above, held.transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_shares, share, -1, share.dtype)
            of_query.append(_by_token(torch.bmm(of_scores, seen), block, heads))
            of_keys.index_add_(0, block.keys, _by_key(torch.bmm(of_scores.transpose(1, 2), asked), block, heads))
        return (
            _by_head(torch.cat(of_query).index_select(0, ctx.plan.back).mul_(ctx.scale), query),
            _by_head(of_keys.mul_(ctx.scale), keys),
            _by_head(of_values, values),
            None,
            None,
            None,
        )


def _rows(states: Tensor, block: _Block, heads: int, padding: float | None = None) -> Tensor:
    """(query heads, tokens, size) to (pieces × key heads, query heads of a key head × q, size)."""
    taken = states.index_select(1, block.queries)
    if padding is not None and len(block.padding):
        taken.index_fill_(1, block.padding, padding)
    split = taken.view(heads, -1, block.pieces, len(block.queries) // block.pieces, states.shape[-1])
    return split.permute(2, 0, 1, 3, 4).reshape(block.pieces * heads, -1, states.shape[-1])


def _columns(states: Tensor, block: _Block) -> Tensor:
    """(key heads, tokens, size) to (pieces × key heads, k, size)."""
    split = states.index_select(1, block.keys).view(len(states), block.pieces, -1, states.shape[-1])
    return split.transpose(0, 1).reshape(block.pieces * len(states), -1, states.shape[-1])


def _by_token(states: Tensor, block: _Block, heads: int) -> Tensor:
    """What `_rows` made back to (pieces × q, query heads × size)."""
    split = states.view(block.pieces, heads, -1, len(block.queries) // block.pieces, states.shape[-1])
    return split.permute(0, 3, 1, 2, 4).reshape(len(block.queries), -1)


def _by_key(states: Tensor, block: _Block, heads: int) -> Tensor:
    """What `_columns` made back to (pieces × k, key heads × size), in float32."""
    split = states.view(block.pieces, heads, -1, states.shape[-1])
    return split.transpose(1, 2).reshape(len(block.keys), -1).float()


def _by_head(states: Tensor, like: Tensor) -> Tensor:
    """(tokens, heads × size) to (heads, tokens, size)."""
    return states.to(like.dtype).view(like.shape[1], len(like), -1).transpose(0, 1)
