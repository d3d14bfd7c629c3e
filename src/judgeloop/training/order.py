"""The order of preference pairs: batches that keep their members, in an order that is new every epoch."""

from __future__ import annotations

import random
from collections.abc import Iterator

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

    def __iter__(self) -> Iterator[int]:
        blocks = self.blocks()
        last = [blocks.pop()] if self.rows % self.block else []
        random.Random(derive_seed(self.seed, "order of blocks", self.epoch)).shuffle(blocks)
        return (index for block in [*blocks, *last] for index in block)
