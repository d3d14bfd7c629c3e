"""A plan's layout leads every token to its path and back, and attention by it is plain attention on each path."""

from __future__ import annotations

import math
import random

import pytest
import torch

from judgeloop.models.token_tree import TokenTree, trees
from judgeloop.models.tree_attention import _Attention
from judgeloop.models.tree_plan import TreePlan

HEADS, KEY_HEADS, SIZE, VALUE_SIZE = 6, 2, 8, 4


def _tree(seed: int, prefix: int = 0) -> TokenTree:
    """Sequences of 1 to 300 tokens after the prefix, some of which begin alike."""
    draw = random.Random(seed)
    stems = [[draw.randrange(3) for _ in range(draw.choice([0, 5, 150]))] for _ in range(3)]
    ends = [[draw.randrange(3) for _ in range(draw.choice([1, 4, 40, 150]))] for _ in range(9)]
    sequences = sorted([0] * prefix + draw.choice(stems) + end for end in ends)
    ((tree, _),) = trees(sequences, prefix, 10**6)
    return tree


def _states(tree: TokenTree, prefix: int) -> list[torch.Tensor]:
    """Queries of the row, keys and values of prefix + row."""
    made = torch.Generator().manual_seed(0)
    sizes = ((HEADS, len(tree.ids), SIZE), (KEY_HEADS, prefix + len(tree.ids), SIZE))
    shapes = [*sizes, (KEY_HEADS, prefix + len(tree.ids), VALUE_SIZE)]
    return [torch.randn(shape, generator=made, dtype=torch.float64).requires_grad_() for shape in shapes]


def _plain(tree: TokenTree, states: list[torch.Tensor], window: int | None) -> torch.Tensor:
    """Each branch's tokens, one after the other, by the definition of attention."""
    query, keys, values = (part.repeat_interleave(HEADS // len(part), 0) for part in states)
    found = torch.empty(len(tree.ids), HEADS, VALUE_SIZE, dtype=torch.float64)
    rows: list[tuple[int, torch.Tensor]] = []
    for branch in tree.branches:
        for place in range(branch.start, len(branch.path)):
            seen = branch.path[max(0, place + 1 - window) if window else 0 : place + 1]
            row = branch.path[place] - tree.prefix
            scores = (keys[:, seen] @ query[:, row, :, None]).squeeze(-1) / math.sqrt(SIZE)
            rows.append((row, (scores.softmax(-1).unsqueeze(1) @ values[:, seen]).squeeze(1)))
    order = torch.tensor([row for row, _ in rows])
    return found.index_copy(0, order, torch.stack([result for _, result in rows])).flatten(1)


@pytest.mark.parametrize("window", [None, 20])
@pytest.mark.parametrize("prefix", [0, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_attention_is_that_of_each_path(seed: int, prefix: int, window: int | None) -> None:
    tree = _tree(seed, prefix)
    states = _states(tree, prefix)
    found = _Attention.apply(*states, TreePlan(tree, "cpu"), SIZE**-0.5, window)
    expected = _plain(tree, states, window)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for one, other in zip(*(torch.autograd.grad(made, states, upstream) for made in (found, expected)), strict=True):
        torch.testing.assert_close(one, other)


def test_every_token_and_head_is_gathered_once_besides_padding() -> None:
    tree = _tree(2)
    plan = TreePlan(tree, "cpu")
    layout = plan.layout(HEADS, KEY_HEADS)
    real = torch.ones(len(layout.queries), dtype=torch.bool)
    real[layout.padding] = False
    assert torch.equal(layout.queries[real].sort().values, torch.arange(len(tree.ids) * HEADS))
    assert torch.equal(layout.queries[layout.back], torch.arange(len(tree.ids) * HEADS))
    order, starts = layout.gathered_from
    for row in range(len(tree.ids) * KEY_HEADS):
        gathered = order[starts[row] : starts[row + 1]]
        assert set(layout.keys[gathered].tolist()) == {row}
    assert all(block.shape[2] % 32 == 0 for block in plan.blocks)
