"""The order of training rows: batches that keep their members, in an order that is new every epoch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from judgeloop.records import derive_seed


class BlockOrder:
    """A sampler: the indices 0 … rows − 1 in blocks of `block` (a batch), the blocks shuffled by (seed, epoch), a
    shorter last block at the end.

    In bf16 a sequence's log-probability depends on what it is batched with (matrix products are split by their size;
    about one nat for 200 tokens was seen). A batch that keeps its members has the same shapes whenever it is computed,
    so that policy and reference agree exactly before the first step. Shuffle the rows themselves beforehand.
    """

    def __init__(self, rows: int, block: int, seed: int) -> None:
        self.rows = rows
        self.block = block
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of each epoch."""
        self.epoch = epoch

    def blocks(self) -> list[list[int]]:
        """The blocks in the rows' own order."""
        return [list(range(start, min(start + self.block, self.rows))) for start in range(0, self.rows, self.block)]

    def __len__(self) -> int:
        return self.rows

    def batches(self) -> list[list[int]]:
        """The blocks in the order of this epoch."""
        blocks = self.blocks()
        last = [blocks.pop()] if self.rows % self.block else []
        return [*_shuffled(blocks, self.seed, self.epoch), *last]

    def __iter__(self) -> Iterator[int]:
        return (index for block in self.batches() for index in block)


def token_blocks(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Consecutive rows in blocks of at most `budget` tokens each, or of one row that has more."""
    blocks: list[list[int]] = []
    held = 0
    for index, length in enumerate(lengths):
        if not blocks or held + length > budget:
            blocks.append([])
            held = 0
        blocks[-1].append(index)
        held += length
    return blocks


class BlockBatches:
    """A batch sampler: each block is a batch, in an order drawn by (seed, epoch)."""

    def __init__(self, blocks: Sequence[list[int]], seed: int) -> None:
        self.blocks = blocks
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.blocks)

    def batches(self) -> list[list[int]]:
        """The blocks in the order of this epoch."""
        return _shuffled(self.blocks, self.seed, self.epoch)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches())


def _shuffled(blocks: Sequence[list[int]], seed: int, epoch: int) -> list[list[int]]:
    order = list(blocks)
    random.Random(derive_seed(seed, "order of blocks", epoch)).shuffle(order)
    return order


def steps_of_rows(order: BlockOrder | BlockBatches, rows: int, steps: int) -> list[list[int]]:
    """Of each of the `rows`, the steps (from 1) that it was part of, in a training of so many `steps`."""
    found: list[list[int]] = [[] for _ in range(rows)]
    done, epoch = 0, 0
    while done < steps:
        order.set_epoch(epoch)
        for batch in order.batches()[: steps - done]:
            done += 1
            for index in batch:
                found[index].append(done)
        epoch += 1
    return found
