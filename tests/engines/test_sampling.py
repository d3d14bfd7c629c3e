from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from judgeloop.engines import sampling
from judgeloop.engines.sampling import draw


def wanted(logits: Tensor, temperature: float, top_p: float, top_k: int) -> Tensor:
    """The distribution by the plain rule: sort everything, keep the top k, then the smallest prefix holding top_p."""
    probabilities = (logits.double() / temperature).softmax(-1)
    order = probabilities.argsort(descending=True)
    if top_k:
        probabilities[order[top_k:]] = 0
        probabilities /= probabilities.sum()
    before = 0.0
    for token in order.tolist():
        share = float(probabilities[token])
        if before >= top_p:
            probabilities[token] = 0
        before += share
    return probabilities / probabilities.sum()


def drawn(logits: Tensor, temperature: float, top_p: float, top_k: int, count: int = 4000) -> Tensor:
    """Shares of each token over evenly spread uniform numbers: the distribution, to within 1 / count a token."""
    uniforms = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    ids = draw(logits.expand(count, -1), uniforms, temperature=temperature, top_p=top_p, top_k=top_k)
    return torch.bincount(ids, minlength=logits.shape[-1]).double() / count


@pytest.mark.parametrize("make", [torch.randn, torch.zeros], ids=["peaked", "flat"])
@pytest.mark.parametrize(("top_p", "top_k"), [(1.0, 0), (0.9, 0), (0.3, 0), (1.0, 5), (0.8, 20), (0.999, 0)])
@pytest.mark.parametrize("temperature", [0.7, 3.0])
def test_draws_follow_the_plain_rule(
    make: Callable[..., Tensor], top_p: float, top_k: int, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "_FIRST_LOOK", 4)  # so that wider looks happen
    generator = {"generator": torch.Generator().manual_seed(1)} if make is torch.randn else {}
    logits = make(151, **generator) * 2
    found, expected = drawn(logits, temperature, top_p, top_k), wanted(logits, temperature, top_p, top_k)
    if make is torch.zeros:  # which of equals are kept is open
        found, expected = found.sort().values, expected.sort().values
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.floats(-30, 30), min_size=1, max_size=40),
    uniform=st.floats(0, 1, exclude_max=True),
    top_p=st.floats(0.01, 1),
    top_k=st.integers(0, 50),
)
def test_a_draw_never_leaves_the_filters(values: list[float], uniform: float, top_p: float, top_k: int) -> None:
    logits = torch.tensor([values])
    token = int(draw(logits, torch.tensor([uniform]), temperature=1.0, top_p=top_p, top_k=top_k))
    likelier = int((logits[0] > logits[0, token]).sum())
    assert likelier < (top_k or len(values))
    mass = float(logits.softmax(-1)[0][logits[0] > logits[0, token]].sum())
    assert mass <= top_p + 1e-5 or top_k > 0


def test_greedy_takes_the_likeliest() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    assert draw(logits, torch.zeros(2), temperature=0, top_p=0.5, top_k=1).tolist() == [1, 0]


def test_a_row_does_not_depend_on_the_others() -> None:
    logits = torch.randn(8, 300, generator=torch.Generator().manual_seed(0)) * 3
    uniforms = torch.rand(8, generator=torch.Generator().manual_seed(1))
    together = draw(logits, uniforms, temperature=1.0, top_p=0.95, top_k=0)
    alone = [int(draw(logits[k : k + 1], uniforms[k : k + 1], temperature=1.0, top_p=0.95, top_k=0)) for k in range(8)]
    assert together.tolist() == alone
