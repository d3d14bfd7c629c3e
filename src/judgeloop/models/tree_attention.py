"""Attention over a token tree: every token sees the sequence that leads to it, and nothing else.

The tree's nodes are cut into blocks of queries, each with the keys before it gathered beside it, and blocks of like
size are multiplied together. The query heads that share a key head are rows of one product. On two cores such products
run at the rate of large ones, which those inside PyTorch's own attention for the CPU do not, above all in its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from judgeloop.models.token_tree import TokenTree

NAME = "token_tree"
_QUERIES = int(__import__("os").environ.get("Q","128"))  # of a block at most: what comes after a block's last query is not computed
_WASTE = float(__import__("os").environ.get("WASTE","1.3"))  # padded products may be so many times those asked for
_LANES = 16  # keys are padded to a multiple: rows of odd length are slow


@dataclass(frozen=True)
class BlockGroup:
    """Blocks that are multiplied together, all padded on the left. `queries` (blocks × rows) and `keys` (blocks ×
    columns) are flat places, `padding` those of `queries` that are no query, `bias` by type
    (blocks, 1, rows, columns) is added to the scores: 0 if a key is seen, else the least number."""

    queries: Tensor
    keys: Tensor
    padding: Tensor
    bias: dict[torch.dtype, Tensor]
    blocks: int


@dataclass(frozen=True)
class TreePlan:
    """How attention goes over one tree: its groups, and for each flat place the row of all groups' queries it is."""

    groups: list[BlockGroup]
    inverse: Tensor
    ids: Tensor
    positions: Tensor

    @classmethod
    def of(cls, tree: TokenTree, device: torch.device | str = "cpu") -> TreePlan:
        blocks = _blocks(tree)
        groups = [_group([blocks[i] for i in part], device) for part in _alike(blocks)]
        rows = torch.cat([group.queries for group in groups])
        real = torch.ones(len(rows), dtype=torch.bool, device=device)
        before = 0
        for group in groups:
            real[group.padding + before] = False
            before += len(group.queries)
        inverse = torch.empty(len(tree.ids), dtype=torch.long, device=device)
        inverse[rows[real]] = real.nonzero().squeeze(1)
        return cls(
            groups,
            inverse,
            torch.tensor([tree.ids], device=device),
            torch.tensor([tree.positions], device=device),
        )


def hidden_states(model: PreTrainedModel, plan: TreePlan) -> Tensor:
    """The last hidden state of every flat place, (tokens, size). The model must attend with `NAME`, see `attend`."""
    unread = plan.positions.new_zeros(1, 1, 1, 1)  # a mask of four dimensions is left as it is
    found = model.base_model(
        input_ids=plan.ids, position_ids=plan.positions, attention_mask=unread, use_cache=False, token_tree=plan
    )
    states: Tensor = found.last_hidden_state[0]
    return states


def can_share(model: Any, longest: int) -> bool:
    """Whether the model's attention can be replaced: plain attention through SDPA, no state, and no sliding window
    shorter than the `longest` sequence (tokens), past which a token would see."""
    config = model.config.get_text_config()
    layers = getattr(config, "layer_types", None) or ()
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    plain = all(kind == "full_attention" for kind in layers) and (bool(layers) or window is None or longest <= window)
    known = config._attn_implementation in ("sdpa", NAME)
    return plain and known and not getattr(config, "is_encoder_decoder", False)


@torch.no_grad()
def takes_tree(model: PreTrainedModel) -> bool:
    """Let the model's attention take a `TreePlan` as the keyword `token_tree` (without one it stays SDPA), and say
    whether it then answers as it does without: tried on short sequences, since a config does not tell everything."""
    dropout = any(getattr(module, "attention_dropout", 0.0) for module in model.modules())
    if dropout or not can_share(model, 0):
        return False
    config = model.config.get_text_config()
    tries = [[1, 2, 3, 1, 2], [1, 2, 3, 2, 1, 3], [3, 1]]
    training = model.training
    model.eval()
    try:
        device = model.get_input_embeddings().weight.device
        wanted = [
            model.base_model(input_ids=torch.tensor([ids], device=device), use_cache=False).last_hidden_state[0]
            for ids in tries
        ]
        AttentionInterface.register(NAME, tree_attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        config._attn_implementation = NAME
        tree = TokenTree.of(tries, worth=2)
        found = hidden_states(model, TreePlan.of(tree, device))
        same = all(
            torch.allclose(found[path], one, rtol=1e-2, atol=1e-2 * float(one.abs().max()))
            for path, one in zip(tree.paths, wanted, strict=True)
        )
    except (RuntimeError, TypeError, ValueError):
        same = False
    finally:
        model.train(training)
    if not same:
        config._attn_implementation = "sdpa"
    return same


def tree_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    token_tree: TreePlan | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: `query` (1, heads, tokens, size), `key` and `value` with as many heads or
    fewer; returns (1, tokens, heads, size)."""
    if token_tree is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    kind = query.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found = _TreeAttention.apply(query[0], key[0], value[0], token_tree, scale)
    return found.view(1, query.shape[2], query.shape[1], value.shape[-1]), None


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, plan: TreePlan, scale: float) -> Tensor:
        parts, shares = [], []
        with torch.autocast(query.device.type, enabled=False):
            for group in plan.groups:
                q, k, v = _queries(query, group, len(key)), _keys(key, group), _keys(value, group)
                share = _shares(q, k, group, scale)
                parts.append(_by_token(share @ v, group, len(key)))
                shares.append(share)
        ctx.plan, ctx.scale = plan, scale
        ctx.save_for_backward(query, key, value, *shares)
        return torch.cat(parts).index_select(0, plan.inverse)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *shares = ctx.saved_tensors
        plan, scale, heads = ctx.plan, ctx.scale, len(key)
        upstream = gradients[0].to(query.dtype).view(len(gradients[0]), query.shape[0], -1).transpose(0, 1)
        of_query = []
        of_key = torch.zeros(key.shape[1], heads * key.shape[2], device=key.device)
        of_value = torch.zeros(value.shape[1], heads * value.shape[2], device=value.device)
        for group, share in zip(plan.groups, shares, strict=True):
            above = upstream.index_select(1, group.queries)
            if len(group.padding):
                above.index_fill_(1, group.padding, 0)
            above = _folded(above, group, heads)
            q, k, v = _queries(query, group, heads), _keys(key, group), _keys(value, group)
            of_value.index_add_(0, group.keys, _by_key(share.transpose(1, 2) @ above, group, heads))
            of_scores = torch._softmax_backward_data(above @ v.transpose(1, 2), share, -1, share.dtype)
            of_query.append(_by_token(of_scores @ k, group, heads))
            of_key.index_add_(0, group.keys, _by_key(of_scores.transpose(1, 2) @ q, group, heads))
        found = torch.cat(of_query).index_select(0, plan.inverse).mul_(scale)
        return (
            found.view(query.shape[1], query.shape[0], -1).transpose(0, 1),
            of_key.mul_(scale).to(key.dtype).view(key.shape[1], heads, -1).transpose(0, 1),
            of_value.to(value.dtype).view(value.shape[1], heads, -1).transpose(0, 1),
            None,
            None,
        )


def _shares(query: Tensor, key: Tensor, group: BlockGroup, scale: float) -> Tensor:
    """How much of each key every query takes, (blocks × key heads, rows, columns)."""
    scores = query @ key.transpose(1, 2)
    masked = scores.view(group.blocks, -1, *group.bias[scores.dtype].shape[2:])
    torch.add(group.bias[scores.dtype], masked, alpha=scale, out=masked)
    return torch.softmax(scores, dim=-1)


def _queries(states: Tensor, group: BlockGroup, heads: int) -> Tensor:
    return _folded(states.index_select(1, group.queries), group, heads)


def _folded(states: Tensor, group: BlockGroup, heads: int) -> Tensor:
    """From (query heads, blocks × rows, size) to (blocks × key heads, query heads of a key head × rows, size)."""
    split = states.view(heads, -1, group.blocks, len(group.queries) // group.blocks, states.shape[-1])
    return split.permute(2, 0, 1, 3, 4).reshape(group.blocks * heads, -1, states.shape[-1])


def _by_token(states: Tensor, group: BlockGroup, heads: int) -> Tensor:
    """Back from that to (blocks × rows, query heads × size)."""
    rows = len(group.queries) // group.blocks
    split = states.view(group.blocks, heads, -1, rows, states.shape[-1])
    return split.permute(0, 3, 1, 2, 4).reshape(group.blocks * rows, -1)


def _keys(states: Tensor, group: BlockGroup) -> Tensor:
    """(key heads, tokens, size) to (blocks × key heads, columns, size)."""
    taken = states.index_select(1, group.keys)
    split = taken.view(len(states), group.blocks, -1, states.shape[-1])
    return split.transpose(0, 1).reshape(group.blocks * len(states), -1, states.shape[-1])


def _by_key(states: Tensor, group: BlockGroup, heads: int) -> Tensor:
    """Back from that to (blocks × columns, key heads × size), in float32."""
    split = states.view(group.blocks, heads, -1, states.shape[-1])
    return split.transpose(1, 2).reshape(len(group.keys), -1).float()


def _blocks(tree: TokenTree) -> list[tuple[list[int], list[int]]]:
    """(queries, keys) of every block; the keys end with the queries."""
    found = []
    for number, node in enumerate(tree.nodes):
        before = tree.ancestors(number)
        for start in range(node.start, node.end, _QUERIES):
            end = min(start + _QUERIES, node.end)
            found.append((list(range(start, end)), [*before, *range(node.start, end)]))
    return found


def _alike(blocks: Sequence[tuple[list[int], list[int]]]) -> list[list[int]]:
    """Which blocks go together: as many as waste no more than `_WASTE`."""
    groups: list[list[int]] = []
    rows = columns = area = 0
    for index in sorted(range(len(blocks)), key=lambda i: (-len(blocks[i][1]), -len(blocks[i][0]), i)):
        queries, keys = len(blocks[index][0]), len(blocks[index][1])
        wide = max(rows, queries) * columns * (len(groups[-1]) + 1) if groups else 0
        if not groups or wide > _WASTE * (area + queries * keys):
            groups.append([])
            rows, columns, area = 0, keys, 0
        groups[-1].append(index)
        rows, area = max(rows, queries), area + queries * keys
    return groups


def _group(blocks: Sequence[tuple[list[int], list[int]]], device: torch.device | str) -> BlockGroup:
    rows = max(len(queries) for queries, _ in blocks)
    columns = -(-max(len(keys) for _, keys in blocks) // _LANES) * _LANES
    queries = [[queries[0]] * (rows - len(queries)) + queries for queries, _ in blocks]
    keys = [[keys[0]] * (columns - len(keys)) + keys for _, keys in blocks]
    padding = [i * rows + j for i, (own, _) in enumerate(blocks) for j in range(rows - len(own))]
    column = torch.arange(columns, device=device)
    first = torch.tensor([columns - len(keys) for _, keys in blocks], device=device).view(-1, 1, 1)
    last = torch.arange(columns - rows, columns, device=device).view(1, -1, 1)
    seen = (column >= first) & (column <= last)
    bias = torch.zeros(seen.shape, device=device).masked_fill_(~seen, torch.finfo(torch.bfloat16).min).unsqueeze(1)
    return BlockGroup(
        torch.tensor(queries, device=device).view(-1),
        torch.tensor(keys, device=device).view(-1),
        torch.tensor(padding, dtype=torch.long, device=device),
        {torch.float32: bias, torch.bfloat16: bias.bfloat16()},
        len(blocks),
    )
