"""Attention forward and backward over a step's sequences: PyTorch's own against the token tree's.

    python benchmarks/attention.py [--heads 9 --key-heads 3 --size 64]

For each set of sequences, in bf16 on random states: SDPA over the padded batch (causal, key heads repeated), attention
with a dense causal mask and a softmax of its own, and `judgeloop.models.tree_attention`, whose sequences share no token
but in the last set, where 20 responses of 75 tokens follow one rubric of 280. Milliseconds of one layer, forward and
backward, after a first call; and the rate of a matrix product of one layer's size (1,500 × 576 by 576 × 3,072), so that
they can be set beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as sdpa

from judgeloop.models.token_tree import trees
from judgeloop.models.tree_attention import _Attention
from judgeloop.models.tree_plan import TreePlan

SETS = {"12 × 128": [128] * 12, "6 × 256": [256] * 6, "2 × 768": [768] * 2, "1 × 1,500": [1500]}


def milliseconds(once: Callable[[], object], budget: float = 0.5) -> float:
    """Mean time of a call."""
    once()
    begun, calls = time.perf_counter(), 0
    while time.perf_counter() - begun < budget:
        once()
        calls += 1
    return (time.perf_counter() - begun) / calls * 1e3


def both_ways(attend: Callable[..., Tensor], *states: Tensor) -> Callable[[], None]:
    def once() -> None:
        output = attend(*states)
        output.backward(torch.ones_like(output))

    return once


def padded(heads: int, key_heads: int, size: int, rows: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    def drawn(count: int) -> Tensor:
        return torch.randn(rows, count, length, size, dtype=torch.bfloat16, requires_grad=True)

    return drawn(heads), drawn(key_heads), drawn(key_heads)


def torch_own(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return sdpa(query, key, value, is_causal=True, enable_gqa=True)


def own_softmax(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    group = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(group, 1) for states in (key, value))
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return torch.softmax(scores.masked_fill(~seen, -torch.inf), -1, dtype=torch.float32).to(value.dtype) @ value


def of_tree(sequences: list[list[int]], heads: int, key_heads: int, size: int) -> float:
    ((tree, _),) = trees(sorted(sequences), 0, sum(map(len, sequences)))
    plan = TreePlan(tree, "cpu")
    query, key, value = (
        torch.randn(count, len(tree.ids), size, dtype=torch.bfloat16, requires_grad=True)
        for count in (heads, key_heads, key_heads)
    )
    return milliseconds(both_ways(lambda *s: _Attention.apply(*s, plan, size**-0.5, None), query, key, value))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--heads", type=int, default=9)
    parser.add_argument("--key-heads", type=int, default=3)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    shape = (options.heads, options.key_heads, options.size)
    one, other = torch.randn(1500, 576).bfloat16(), torch.randn(576, 3072).bfloat16()
    took = milliseconds(lambda: one @ other)
    print(f"a matrix product of one layer: {2 * 1500 * 576 * 3072 / took / 1e6:.0f} GFLOP/s")
    print(f"{'sequences':<22}{'SDPA':>8}{'own softmax':>13}{'token tree':>12}   ms")
    for name, lengths in SETS.items():
        states = padded(*shape, len(lengths), lengths[0])
        theirs = milliseconds(both_ways(torch_own, *states))
        dense = milliseconds(both_ways(own_softmax, *states))
        # Every sequence begins with a token of its own, so that none is shared.
        apart = [[number, *range(1000, 999 + length)] for number, length in enumerate(lengths)]
        print(f"{name:<22}{theirs:>8.1f}{dense:>13.1f}{of_tree(apart, *shape):>12.1f}", flush=True)
    rubric = list(range(1000, 1280))
    judged = [[*rubric, number, *range(2000, 2074)] for number in range(20)]
    states = padded(*shape, 20, 355)
    theirs = milliseconds(both_ways(torch_own, *states))
    dense = milliseconds(both_ways(own_softmax, *states))
    print(f"{'280, then 20 × 75':<22}{theirs:>8.1f}{dense:>13.1f}{of_tree(judged, *shape):>12.1f}", flush=True)


if __name__ == "__main__":
    main()
