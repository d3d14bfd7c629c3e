"""Attention over a token tree: each token sees the tokens before it on its own path, whatever else is in the row.

It is registered with transformers, so a model of any architecture that looks its attention up there runs a tree as one
row of tokens: its matrix products go over all tokens at once, and nothing is padded but in here. In here, query heads
that share a key head are rows of one product, and pieces of like length are multiplied together. On a CPU such products
run at the rate of large ones, which those inside PyTorch's own attention do not, above all those of its gradient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from judgeloop.models.host import to_device
from judgeloop.models.model_parts import body, dropouts
from judgeloop.models.token_tree import TokenTree, trees
from judgeloop.models.tree_plan import Block, Layout, TreePlan

_NAME = "judgeloop_token_tree"
_BY_LENGTH = ("dynamic", "longrope")  # kinds of rope whose angles depend on the longest sequence that runs
_DEVIATION = 1e-2  # of hidden states, as a share of their norm; in float32 a right tree is a thousand times nearer
_TRIED: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()  # models, and whether they answer trees as sequences alone


_Part = Callable[[Tensor], Tensor]


class UnknownAttention(Exception):
    """The model's attention does something that this one does not do."""


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
    dropout = any(getattr(module, name) for module in model.modules() for name in dropouts(module))
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
                body(model)(input_ids=torch.tensor([ids], device=device), use_cache=False).last_hidden_state[0]
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
        found = body(model)(
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
        layout, shares = plan.layout(len(query), len(keys)), []
        with torch.autocast(query.device.type, enabled=False):
            asked, seen, held = _gathered(query, keys, values, layout)
            found = asked.new_empty(len(asked), values.shape[-1])
            for block, rows, columns in _parts(plan, len(query), len(keys)):
                scores = torch.bmm(rows(asked), columns(seen).transpose(1, 2))
                mask = block.mask(window, query.dtype)
                masked = scores.view(len(mask), len(keys), -1, *mask.shape[-2:])
                torch.add(mask, masked, alpha=scale, out=masked)
                share = scores.softmax(-1)
                torch.bmm(share, columns(held), out=rows(found))
                shares.append(share)
        ctx.plan, ctx.scale = plan, scale
        ctx.save_for_backward(query, keys, values, *shares)
        return found.index_select(0, layout.back).view(query.shape[1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, values, *shares = ctx.saved_tensors
        layout = ctx.plan.layout(len(query), len(keys))
        # Gathered again: to keep what was gathered takes as much memory as the attention's input.
        asked, seen, held = _gathered(query, keys, values, layout)
        above = gradients[0].to(query.dtype).reshape(-1, values.shape[-1]).index_select(0, layout.queries)
        above.index_fill_(0, layout.padding, 0.0)
        of_asked, of_seen, of_held = (torch.empty_like(states) for states in (asked, seen, held))
        for (_, rows, columns), share in zip(_parts(ctx.plan, len(query), len(keys)), shares, strict=True):
            torch.bmm(share.transpose(1, 2), rows(above), out=columns(of_held))
            of_shares = torch.bmm(rows(above), columns(held).transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_shares, share, -1, share.dtype)
            torch.bmm(of_scores, columns(seen), out=rows(of_asked))
            torch.bmm(of_scores.transpose(1, 2), rows(asked), out=columns(of_seen))
        return (
            _by_head(of_asked.index_select(0, layout.back).mul_(ctx.scale), query),
            _by_head(_summed(of_seen, layout).mul_(ctx.scale), keys),
            _by_head(_summed(of_held, layout), values),
            None,
            None,
            None,
        )


def _gathered(query: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of all blocks, one row for each of their tokens and heads."""
    indices = layout.queries, layout.keys, layout.keys
    asked, seen, held = (
        states.transpose(0, 1).reshape(-1, states.shape[-1]).index_select(0, index)
        for states, index in zip((query, keys, values), indices, strict=True)
    )
    return asked, seen, held


def _parts(plan: TreePlan, query_heads: int, key_heads: int) -> Iterator[tuple[Block, _Part, _Part]]:
    """Each block, and what takes its queries (pieces × key heads, query heads of a key head × q, size) and its keys
    (pieces × key heads, k, size) from the rows of all blocks."""
    query = key = 0
    for block in plan.blocks:
        pieces, q, k = block.shape
        yield (
            block,
            functools.partial(_part, query, pieces * key_heads, query_heads // key_heads * q),
            functools.partial(_part, key, pieces * key_heads, k),
        )
        query, key = query + pieces * query_heads * q, key + pieces * key_heads * k


def _part(first: int, products: int, each: int, rows: Tensor) -> Tensor:
    return rows[first : first + products * each].view(products, each, -1)


def _summed(gathered: Tensor, layout: Layout) -> Tensor:
    """What each row that keys were gathered from gets from all of them. A rubric's token is the key of every judgement
    after it, so the sum is made in float32."""
    order, starts = layout.gathered_from
    return torch.nn.functional.embedding_bag(order, gathered, starts, mode="sum", include_last_offset=True)


def _by_head(rows: Tensor, like: Tensor) -> Tensor:
    """(tokens × heads, size) to (heads, tokens, size)."""
    return rows.view(like.shape[1], len(like), -1).transpose(0, 1)
