"""Sequences of token ids as one padded tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def left_padded(sequences: Sequence[Sequence[int]], pad_id: int, device: Any) -> tuple[Tensor, Tensor]:
    """Ids and attention mask (rows, longest), padded at the left."""
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), pad_id)
    mask = torch.zeros((len(sequences), longest), dtype=torch.long)
    for number, sequence in enumerate(sequences):
        ids[number, longest - len(sequence) :] = torch.tensor(sequence)
        mask[number, longest - len(sequence) :] = 1
    return ids.to(device), mask.to(device)
