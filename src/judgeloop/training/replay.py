"""EFT rows beside the preference pairs: the judge's format and skill are practised in every batch.

Plain DPO lets them decay (in a public replication the unreadable judgements went from 0.1% to 78% in one iteration);
rows of the seed, with their SFT loss, keep them alive.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from torch import Tensor

from judgeloop.records import derive_seed
from judgeloop.training.packs import Pack, collate


class Replay:
    """Which EFT rows go with which step: an endless row of shuffles of all packs (of one row or several, see
    `packs.packs`), `per_step` at a time.

    The rows of a step follow from the seed and the step's number alone, so a training that resumes takes the same.
    """

    def __init__(self, packs: Sequence[Pack], per_step: int, pad_id: int, seed: int) -> None:
        self.packs = list(packs)
        self.shares = any(pack.rows > 1 for pack in self.packs)
        self.per_step = per_step
        self._pad_id = pad_id
        self._seed = seed

    @classmethod
    def beside(cls, pairs: int, share: float, packs: Sequence[Pack], pad_id: int, seed: int) -> Replay:
        """So many packs beside `pairs` pairs that they are `share` of all (at least one a step)."""
        return cls(packs, max(1, round(pairs * share / (1 - share))), pad_id, seed)

    def of(self, step: int) -> list[Pack]:
        """The packs of step 0, 1, 2, …"""
        numbers = range(step * self.per_step, (step + 1) * self.per_step)
        size = len(self.packs)
        return [self.packs[self._order(number // size)[number % size]] for number in numbers]

    def rows(self, steps: int) -> int:
        """How many rows the first `steps` steps take."""
        return sum(pack.rows for step in range(steps) for pack in self.of(step))

    def _order(self, epoch: int) -> list[int]:
        order = list(range(len(self.packs)))
        random.Random(derive_seed(self._seed, "eft replay", epoch)).shuffle(order)
        return order

    def batch(self, packs: Sequence[Pack]) -> dict[str, Tensor]:
        """The packs as a batch, see `packs.collate`."""
        return collate([pack.columns() for pack in packs], self._pad_id)
