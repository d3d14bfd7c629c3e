import pytest
import torch

from judgeloop.training.token_sums import desensitised, mean_token_nll, weighted_nll

LOG_PROBS = torch.tensor([[-1.0, -2.0, -3.0, -6.0], [0.0, 0.0, -5.0, 0.0]])
MASK = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 0]])
ROW_WEIGHTS = MASK / MASK.sum(dim=1, keepdim=True)


def test_mean_token_nll_counts_target_tokens_only() -> None:
    assert mean_token_nll(LOG_PROBS, MASK).tolist() == pytest.approx([11 / 3, 5.0])


def test_row_weighting_hears_a_short_row_as_loud_as_a_long_one() -> None:
    assert weighted_nll(LOG_PROBS, ROW_WEIGHTS, 2).item() == pytest.approx((11 / 3 + 5) / 2)
    assert weighted_nll(LOG_PROBS, MASK, 4).item() == pytest.approx(16 / 4)


@pytest.mark.parametrize(("weights", "total"), [(ROW_WEIGHTS, 2), (MASK, 4), (0.25 * ROW_WEIGHTS, 0.5)])
def test_parts_of_a_batch_add_up_to_its_loss(weights: torch.Tensor, total: float) -> None:
    whole = weighted_nll(LOG_PROBS, weights, total)
    parts = [weighted_nll(LOG_PROBS[i : i + 1], weights[i : i + 1], total) for i in (0, 1)]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item())


def test_length_desensitised_sums_by_hand() -> None:
    # Chosen has 3 response tokens, rejected 1: of the chosen's, two lie beyond.
    log_probs = torch.tensor([[0.0, -1.0, -2.0, -4.0], [0.0, -8.0, 0.0, 0.0]])
    mask = torch.tensor([[0, 1, 1, 1], [0, 1, 0, 0]])
    assert desensitised(log_probs, mask, 0.5).tolist() == [-1 - 0.5 * (2 + 4), -8]
    assert desensitised(log_probs, mask, 1.0).tolist() == log_probs.sum(dim=1).tolist()
    assert desensitised(log_probs, mask, 0.0).tolist() == [-1, -8]
