from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from judgeloop.training.cringe import cringe_tokens, gate, gumbel
from judgeloop.training.pair_losses import PAIR_LOSSES, LogRatios, desensitised

BETA = 0.5


def ratios(chosen: list[float], rejected: list[float], tokens: tuple[int, int] = (4, 2)) -> LogRatios:
    pairs = len(chosen)
    return LogRatios(
        torch.tensor(chosen, dtype=torch.double),
        torch.tensor(rejected, dtype=torch.double),
        torch.full((pairs,), tokens[0]),
        torch.full((pairs,), tokens[1]),
    )


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


# Log-ratios 2 and −4 at β = 0.5: rewards 1 and −2, βΔ = 3; per token 0.5 and −2, so Δ̄ = 2.5. Smoothing ε = 0.1.
BY_HAND = {
    "dpo": -0.9 * log_sigmoid(3) - 0.1 * log_sigmoid(-3),
    "robust": (-0.9 * log_sigmoid(3) + 0.1 * log_sigmoid(-3)) / 0.8,
    "hinge": 0.0,
    "ipo": (2.5 - 1) ** 2,
    "sigmoid_norm": -log_sigmoid(1.25),
    "exo_pair": sigmoid(3) * (log_sigmoid(3) - math.log(0.9)) + sigmoid(-3) * (log_sigmoid(-3) - math.log(0.1)),
    "nca_pair": -log_sigmoid(1) - 0.5 * log_sigmoid(-1) - 0.5 * log_sigmoid(2),
    "bco_pair": -log_sigmoid(1) - log_sigmoid(2),
    "sppo_hard": (2 - 1) ** 2 + (-4 + 1) ** 2,
    "apo_zero": 1 - sigmoid(1) + sigmoid(-2),
    "apo_down": sigmoid(1) + 1 - sigmoid(3),
    "discopop": -log_sigmoid(3) * (1 - sigmoid(60)) + math.exp(-3) * sigmoid(60),
}


def test_every_loss_is_worked_by_hand() -> None:
    assert BY_HAND.keys() == PAIR_LOSSES.keys()


@pytest.mark.parametrize("name", sorted(PAIR_LOSSES))
def test_values_by_hand(name: str) -> None:
    (value,) = PAIR_LOSSES[name](ratios([2.0], [-4.0]), BETA, 0.1).tolist()
    assert value == pytest.approx(BY_HAND[name], abs=1e-9)


@pytest.mark.parametrize("name", sorted(PAIR_LOSSES))
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    # Away from the hinge's corner (βΔ = 1).
    chosen = torch.tensor([0.3, -1.1, 0.8], dtype=torch.double, requires_grad=True)
    rejected = torch.tensor([-0.4, 0.2, 1.7], dtype=torch.double, requires_grad=True)
    tokens = torch.tensor([3, 5, 2])

    def loss(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = PAIR_LOSSES[name](LogRatios(one, other, tokens, tokens + 1), BETA, 0.1)
        return found

    assert gradcheck(loss, (chosen, rejected))


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 0.5])
def test_dpo_begins_at_ln_2(smoothing: float) -> None:
    (value,) = PAIR_LOSSES["dpo"](ratios([0.0], [0.0]), BETA, smoothing).tolist()
    assert value == pytest.approx(math.log(2))


# apo_down takes both down; discopop is not monotonic, and at Δ = 0 its slope points the other way.
@pytest.mark.parametrize("name", sorted(PAIR_LOSSES.keys() - {"apo_down", "discopop"}))
def test_each_loss_pulls_chosen_up_and_rejected_down_at_the_start(name: str) -> None:
    chosen = torch.zeros(1, requires_grad=True)
    rejected = torch.zeros(1, requires_grad=True)
    tokens = torch.tensor([3])
    PAIR_LOSSES[name](LogRatios(chosen, rejected, tokens, tokens), BETA, 0.1).sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.item() < 0 < rejected.grad.item()


def test_length_desensitised_sums_by_hand() -> None:
    # Chosen has 3 response tokens, rejected 1: of the chosen's, two lie beyond.
    log_probs = torch.tensor([[0.0, -1.0, -2.0, -4.0], [0.0, -8.0, 0.0, 0.0]])
    mask = torch.tensor([[0, 1, 1, 1], [0, 1, 0, 0]])
    assert desensitised(log_probs, mask, 0.5).tolist() == [-1 - 0.5 * (2 + 4), -8]
    assert desensitised(log_probs, mask, 1.0).tolist() == log_probs.sum(dim=1).tolist()
    assert desensitised(log_probs, mask, 0.0).tolist() == [-1, -8]


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
