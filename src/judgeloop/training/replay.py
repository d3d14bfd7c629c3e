"""Rows of the seed beside the preference pairs, with their SFT loss, in every batch.

EFT rows keep the judge's format and skill alive, which plain DPO lets decay (in a public replication the unreadable
judgements went from 0.1% to 78% in one iteration); IFT rows what the seed taught and the pairs do not show.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from torch import Tensor

from judgeloop.records import derive_seed
from judgeloop.training.data import SftExample
from judgeloop.training.packs import collate, pack


class Replay:
    """Which rows of a `kind` (eft or ift) go with which step: an endless row of shuffles of all examples, `per_step` at
    a time, whose mean loss weighs `weight`.

    The rows of a step follow from the seed and the step's number alone, so a training that resumes takes the same.
    """

    def __init__(
        self,
        examples: Sequence[SftExample],
        per_step: int,
        pad_id: int,
        seed: int,
        kind: str = "eft",
        weight: float = 1.0,
    ) -> None:
        self.examples = list(examples)
        self.kind = kind
        self.weight = weight
        self.per_step = per_step
        self._pad_id = pad_id
        self._seed = seed

    def of(self, step: int) -> list[SftExample]:
        """The rows of step 0, 1, 2, …"""
        numbers = range(step * self.per_step, (step + 1) * self.per_step)
        size = len(self.examples)
        return [self.examples[self._order(number // size)[number % size]] for number in numbers]

    def _order(self, epoch: int) -> list[int]:
        order = list(range(len(self.examples)))
        random.Random(derive_seed(self._seed, f"{self.kind} replay", epoch)).shuffle(order)
        return order

    def batch(self, rows: Sequence[SftExample]) -> dict[str, Tensor]:
        """The rows as a batch (see `packs.collate`); the weights of each row's target tokens add up to 1."""
        return collate([pack([row], "row").columns() for row in rows], self._pad_id)
