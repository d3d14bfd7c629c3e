"""Draw the next token without sorting the vocabulary.

Each row brings one uniform number and the draw inverts the cumulative distribution at it, so a row's draw depends on
nothing else in the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST_LOOK = 64
_WIDEN = 8


def draw(logits: Tensor, uniforms: Tensor, *, temperature: float, top_p: float, top_k: int) -> Tensor:
    """Return one token id a row.

    `logits` is (rows, vocabulary), `uniforms` (rows,) in [0, 1). Temperature 0 takes the likeliest token. Filters as
    in transformers: first the `top_k` likeliest (0: all), then the nucleus, which is the fewest likeliest tokens that
    together hold at least `top_p` of what is left (Holtzman et al., arXiv 1904.09751, section 3.1).
    """
    if temperature == 0:
        return logits.argmax(-1)
    scaled = logits.float() / temperature
    if top_k:
        values, ids = scaled.topk(min(top_k, scaled.shape[-1]), dim=-1)
        return ids.gather(-1, _invert(_nucleus(values.softmax(-1), top_p), uniforms)).squeeze(-1)
    if top_p == 1:
        return _invert(scaled.softmax(-1), uniforms).squeeze(-1)
    return _draw_from_nucleus(scaled, scaled.logsumexp(-1, keepdim=True), uniforms, top_p, _FIRST_LOOK)


def _draw_from_nucleus(scaled: Tensor, total: Tensor, uniforms: Tensor, top_p: float, look: int) -> Tensor:
    """Exact nucleus sampling from the `look` likeliest tokens.

    Their true probabilities need only the normaliser `total`, not the order of the rest; where they hold at least
    `top_p`, the nucleus is a prefix of them, so nothing outside can belong to it. Rows where they hold less look wider.
    """
    look = min(look, scaled.shape[-1])
    values, ids = scaled.topk(look, dim=-1)
    probabilities = (values - total).exp()
    chosen = ids.gather(-1, _invert(_nucleus(probabilities, top_p), uniforms)).squeeze(-1)
    short = (probabilities.sum(-1) < top_p).nonzero().squeeze(-1)
    if len(short) and look < scaled.shape[-1]:
        chosen[short] = _draw_from_nucleus(scaled[short], total[short], uniforms[short], top_p, look * _WIDEN)
    return chosen


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Zero what comes after the nucleus in probabilities sorted from high to low; the first always stays."""
    before = probabilities.cumsum(-1) - probabilities
    before[:, 0] = 0
    return probabilities.masked_fill(before >= top_p, 0)


def _invert(weights: Tensor, uniforms: Tensor) -> Tensor:
    """The first index whose cumulative weight exceeds `uniforms` times the total; a weight of 0 is never drawn."""
    cumulative = weights.cumsum(-1)
    target = uniforms.to(cumulative).unsqueeze(-1) * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, target, right=True)
    # Rounding may put the target at the very end: fall back on the last index that has weight.
    last = (weights > 0).cumsum(-1).argmax(-1, keepdim=True)
    return torch.minimum(index, last)
