"""Supervised rows as the trainer takes them; judgements of one prompt's responses may share what they begin with.

A judge prompt is a long rubric and an instruction, and then a short response: judgements of several responses to one
prompt differ only in their ends. Packed, they follow one copy of their common beginning; each sees that and itself
only, at the positions it would have alone. The loss is that of the separate rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import torch
from torch import Tensor

from judgeloop.training.data import SftExample

Weighting = Literal["token", "row"]
IGNORED = -100
SHARED, PADDING = 0, -1  # owners of tokens; 1, 2, … are the rows of a pack
_WORTH_SHARING = 16  # tokens; a shorter common beginning is not worth the wider mask


@dataclass(frozen=True, slots=True)
class Pack:
    """One sequence of the batch: token ids, who owns each, and the weight of its loss."""

    ids: list[int]
    owners: list[int]
    weights: list[float]
    rows: int

    def columns(self) -> dict[str, list[int] | list[float]]:
        """As a dataset row."""
        return {"ids": self.ids, "owners": self.owners, "weights": self.weights}


def pack(examples: Sequence[SftExample], weighting: Weighting) -> Pack:
    """Rows after one copy of what they all begin with (a single row stays as it is). "row": the weights of each row's
    target tokens add up to 1; "token": each is 1; either times the row's own weight."""
    sequences = [[*example.prompt_ids, *example.target_ids] for example in examples]
    start = _common(sequences, min(len(example.prompt_ids) for example in examples)) if len(examples) > 1 else 0
    ids = sequences[0][:start]
    owners, weights = [SHARED] * start, [0.0] * start
    for number, (example, sequence) in enumerate(zip(examples, sequences, strict=True), 1):
        scored = set(example.scored)
        share = example.weight / len(scored) if weighting == "row" else example.weight
        first = len(example.prompt_ids)
        ids += sequence[start:]
        owners += [number if len(examples) > 1 else SHARED] * (len(sequence) - start)
        weights += [share if place - first in scored else 0.0 for place in range(start, len(sequence))]
    return Pack(ids, owners, weights, len(examples))


def _common(sequences: Sequence[Sequence[int]], limit: int) -> int:
    """How many tokens all sequences begin with alike, within their prompts."""
    columns = zip(*(sequence[:limit] for sequence in sequences), strict=True)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def packs(examples: Sequence[SftExample], weighting: Weighting, most: int, max_length: int) -> list[Pack]:
    """All rows, those of one group up to `most` together if they share enough and fit into `max_length` tokens; in
    the order of each pack's first row."""
    open_packs: dict[str, list[SftExample]] = {}
    made: list[list[SftExample]] = []
    for example in examples:
        current = open_packs.get(example.group) if example.group else None
        if current is not None and len(current) < most and _fits([*current, example], max_length):
            current.append(example)
            continue
        made.append([example])
        if example.group:
            open_packs[example.group] = made[-1]
    return [pack(rows, weighting) for rows in made]


def _fits(examples: Sequence[SftExample], max_length: int) -> bool:
    sequences = [[*example.prompt_ids, *example.target_ids] for example in examples]
    start = _common(sequences, min(len(example.prompt_ids) for example in examples))
    return start >= _WORTH_SHARING and start + sum(len(sequence) - start for sequence in sequences) <= max_length


def collate(rows: Sequence[dict[str, list[int] | list[float]]], pad_id: int) -> dict[str, Tensor]:
    """A batch padded on the right: ids, mask, labels, owners and weights, all of shape (rows, longest)."""
    longest = max(len(row["ids"]) for row in rows)

    def padded(name: str, fill: float) -> Tensor:
        return torch.tensor([[*row[name], *[fill] * (longest - len(row[name]))] for row in rows])

    ids, owners, weights = padded("ids", pad_id), padded("owners", PADDING), padded("weights", 0.0)
    return {
        "input_ids": ids,
        "attention_mask": (owners != PADDING).long(),
        "labels": ids.masked_fill(weights == 0, IGNORED),
        "owners": owners,
        "weights": weights.float(),
    }
