import math

import pytest
import torch

from judgeloop.training import losses


def test_dpo_is_ln_2_where_policy_and_reference_agree() -> None:
    chosen, rejected = torch.tensor([-3.0, -40.0]), torch.tensor([-7.0, -1.0])
    found = losses.dpo(chosen, rejected, chosen, rejected, beta=0.1)
    assert found.tolist() == pytest.approx([math.log(2)] * 2)


def test_dpo_by_hand() -> None:
    # log-ratios +2 and -3: margin 5, times beta 0.2 is 1, and -log sigmoid(1) = log(1 + e^-1)
    found = losses.dpo(torch.tensor([-8.0]), torch.tensor([-9.0]), torch.tensor([-10.0]), torch.tensor([-6.0]), 0.2)
    assert found.item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_dpo_gradient_by_hand() -> None:
    chosen = torch.tensor([-8.0], dtype=torch.double, requires_grad=True)
    rejected = torch.tensor([-9.0], dtype=torch.double, requires_grad=True)
    losses.dpo(chosen, rejected, torch.tensor([-10.0]), torch.tensor([-6.0]), 0.2).sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    # d/dc -log sigmoid(beta m) = -beta sigmoid(-beta m), equation 7's weight; the rejected has the opposite sign
    assert chosen.grad.item() == pytest.approx(-0.2 / (1 + math.e))
    assert rejected.grad.item() == pytest.approx(0.2 / (1 + math.e))


LOG_PROBS = torch.tensor([[-1.0, -2.0, -3.0, -6.0], [0.0, 0.0, -5.0, 0.0]])
MASK = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 0]])
ROW_WEIGHTS = MASK / MASK.sum(dim=1, keepdim=True)


def test_mean_token_nll_counts_target_tokens_only() -> None:
    assert losses.mean_token_nll(LOG_PROBS, MASK).tolist() == pytest.approx([11 / 3, 5.0])


def test_row_weighting_hears_a_short_row_as_loud_as_a_long_one() -> None:
    assert losses.weighted_nll(LOG_PROBS, ROW_WEIGHTS, 2).item() == pytest.approx((11 / 3 + 5) / 2)
    assert losses.weighted_nll(LOG_PROBS, MASK, 4).item() == pytest.approx(16 / 4)


@pytest.mark.parametrize(("weights", "total"), [(ROW_WEIGHTS, 2), (MASK, 4), (0.25 * ROW_WEIGHTS, 0.5)])
def test_parts_of_a_batch_add_up_to_its_loss(weights: torch.Tensor, total: float) -> None:
    whole = losses.weighted_nll(LOG_PROBS, weights, total)
    parts = [losses.weighted_nll(LOG_PROBS[i : i + 1], weights[i : i + 1], total) for i in (0, 1)]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item())
