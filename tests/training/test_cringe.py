from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from judgeloop.training.cringe import cringe_tokens, gate, gumbel


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_cringe_by_hand() -> None:
    # Rejected token 0 with logit 2; the likeliest other is token 1 with logit 1 (k = 1 leaves no draw).
    logits = torch.tensor([[2.0, 1.0, -5.0]])
    (value,) = cringe_tokens(logits, torch.tensor([0]), torch.zeros(1, 1)).tolist()
    assert value == pytest.approx(-math.log(math.e / (math.e + math.e**2)), abs=1e-6)
    # The rejected token is never its own contrast, likely as it is.
    (value,) = cringe_tokens(torch.tensor([[9.0, 0.0, 1.0]]), torch.tensor([0]), torch.zeros(1, 1)).tolist()
    assert value == pytest.approx(math.log1p(math.exp(8.0)), abs=1e-4)


def test_cringe_draws_by_the_softmax_of_the_top_k() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -50.0]]).repeat(20000, 1)
    losses = cringe_tokens(logits, torch.zeros(20000, dtype=torch.long), gumbel(20000, 2, seed=3))
    drew_second = losses.isclose(torch.tensor(math.log1p(math.exp(-2.0)))).float().mean().item()
    assert drew_second == pytest.approx(sigmoid(1.0), abs=0.015)  # e² against e¹
    assert gumbel(5, 2, seed=3).tolist() == gumbel(5, 2, seed=3).tolist() != gumbel(5, 2, seed=4).tolist()


def test_cringe_gradients() -> None:
    logits = torch.tensor([[0.2, 1.0, -0.7, 0.4], [1.5, 0.1, 0.3, -1.0]], dtype=torch.double, requires_grad=True)
    noise = gumbel(2, 3, seed=1).double()
    assert gradcheck(lambda given: cringe_tokens(given, torch.tensor([1, 0]), noise), (logits,))
    cringe_tokens(logits, torch.tensor([1, 0]), noise).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] > 0  # the rejected token's logit goes down
    assert logits.grad.sum(dim=1).abs().max() < 1e-9  # and one other's up by as much


def test_the_gate_closes_over_pairs_told_apart_already() -> None:
    chosen = torch.tensor([-10.0, -10.0, -30.0], requires_grad=True)
    rejected = torch.tensor([-10.0, -30.0, -10.0])
    found = gate(chosen, rejected, bias=0.0, temperature=10.0)
    assert found.tolist() == pytest.approx([0.5, sigmoid(-2), sigmoid(2)])
    assert gate(chosen, rejected, bias=20.0, temperature=10.0)[1].item() == pytest.approx(0.5)
    assert not found.requires_grad
