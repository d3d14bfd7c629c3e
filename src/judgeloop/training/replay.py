"""Rows beside the preference pairs, of the seed or of the policy's own answers, with their SFT loss, in every batch.

EFT rows keep the judge's format and skill alive, which plain DPO lets decay (in a public replication the unreadable
judgements went from 0.1% to 78% in one iteration); IFT rows what the seed taught and the pairs do not show.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.records import SupervisedRow, derive_seed
from judgeloop.training.data import ScoreAlone, SftExample, rows_beside, sft_examples
from judgeloop.training.packs import collate, pack


class Replay:
    """Which rows of a `kind` (eft, ift, …) go with which step: an endless row of shuffles of all examples, `per_step`
    at a time, whose mean loss weighs `weight`.

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


@dataclass(frozen=True, slots=True)
class Beside:
    """Rows of a `kind` that are trained on beside the pairs: the `share` of them in a step, the `weight` of their loss.
    `remedy`: what to do if none can be tokenised; None: then the training goes without. `once`: no more in a step than
    it takes to have each once an epoch, so that a few are not rehearsed over and over."""

    kind: str
    share: float
    weight: float
    rows: Sequence[SupervisedRow]
    remedy: str | None
    once: bool = False


def replays_of(
    wanted: Sequence[Beside],
    max_length: int,
    chat: Chat,
    score_alone: ScoreAlone | None,
    token_ids: Mapping[str, Sequence[int]],
    pairs_a_step: float,
    steps: int,
    seed: int,
    dropped: Counter[str],
) -> list[Replay]:
    """The rows that the config wants beside the pairs. `steps` are those of an epoch; rows that cannot be tokenised are
    counted in `dropped`."""
    made = []
    for one in wanted:
        if not one.share:
            continue
        found = sft_examples(one.rows, chat, max_length, score_alone, token_ids=token_ids)
        dropped.update({f"{one.kind} row {reason}": count for reason, count in found.dropped.items()})
        if not found.examples:
            if one.remedy is None:
                continue
            raise InputError(
                f"train.{one.kind}_replay: no {one.kind.upper()} row to replay of {len(one.rows)} (dropped: "
                f"{found.dropped}); {one.remedy}"
            )
        per_step = rows_beside(pairs_a_step, one.share)
        if one.once:
            per_step = min(per_step, math.ceil(len(found.examples) / steps))
        made.append(Replay(found.examples, per_step, chat.pad_id, seed, one.kind, one.weight))
    return made
