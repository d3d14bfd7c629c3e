"""Sequences that begin with the same prompt, run through the model as one: the prompt is computed once.

Chosen and rejected of a pair follow one copy of their prompt. Each sees the prompt and itself, never the other,
at the positions it would have alone, so the log-probabilities are those of the separate sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PAYS = 0.1  # share of the tokens that sharing must save; below it the wider mask costs as much


@dataclass(frozen=True)
class PackedPairs:
    """Some pairs as rows of prompt + chosen + rejected, padded on the right.

    `ids` and `positions` (rows, width), `mask` (rows, 1, width, width) True if a token sees another. `reads`
    says for each response token which (row, place) predicts it, `writes` the (sequence, place) it has in the unpacked
    batch, chosen sequences first; both of shape (2, tokens).
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    reads: Tensor
    writes: Tensor


def pays(prompts: Sequence[int], lengths: Sequence[int]) -> bool:
    """Would sharing save enough? `prompts[i]` tokens of prompt in sequences i and i + pairs of `lengths`."""
    return sum(prompts) >= PAYS * sum(lengths)


def can_share(model: Any, longest: int) -> bool:
    """Whether the model takes a mask of its own: plain attention through SDPA, no state, and no sliding window shorter
    than the `longest` sequence (tokens), for the mask would let a token see past it."""
    config = model.config.get_text_config()
    layers = getattr(config, "layer_types", None) or ()
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    plain = all(kind == "full_attention" for kind in layers) and (bool(layers) or window is None or longest <= window)
    return plain and config._attn_implementation == "sdpa" and not getattr(config, "is_encoder_decoder", False)


def pack_pairs(input_ids: Tensor, lengths: Sequence[int], prompts: Sequence[int], pairs: Sequence[int]) -> PackedPairs:
    """Pack the given pairs of an unpacked batch (2 × all pairs, length), whose sequences have `lengths` tokens and
    begin with `prompts[pair]` tokens of prompt."""
    every = len(prompts)
    sides = [(lengths[i] - prompts[i], lengths[i + every] - prompts[i]) for i in pairs]
    width = max(prompts[i] + chosen + rejected for i, (chosen, rejected) in zip(pairs, sides, strict=True))
    device = input_ids.device
    ids = torch.zeros(len(pairs), width, dtype=torch.long, device=device)
    positions = torch.zeros_like(ids)
    owner = torch.full_like(ids, 3)  # 0 prompt, 1 chosen, 2 rejected, 3 padding
    reads: list[Tensor] = []
    writes: list[Tensor] = []
    for row, (i, counts) in enumerate(zip(pairs, sides, strict=True)):
        start = prompts[i]
        ids[row, :start] = input_ids[i, :start]
        positions[row, :start] = torch.arange(start, device=device)
        owner[row, :start] = 0
        place = start
        for side, count in enumerate(counts):
            sequence = i + side * every
            end = place + count
            ids[row, place:end] = input_ids[sequence, start : start + count]
            positions[row, place:end] = torch.arange(start, start + count, device=device)
            owner[row, place:end] = side + 1
            # A response's first token is predicted by the prompt's last one.
            predictors = (
                torch.cat([torch.tensor([start - 1]), torch.arange(place, end - 1)]) if count else torch.arange(0)
            )
            reads.append(torch.stack([torch.full((count,), row), predictors]))
            writes.append(torch.stack([torch.full((count,), sequence), torch.arange(start - 1, start - 1 + count)]))
            place = end
    seen = (owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None])
    causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    return PackedPairs(
        ids, positions, (seen & causal).unsqueeze(1), torch.cat(reads, 1).to(device), torch.cat(writes, 1).to(device)
    )
