"""Log-probabilities of labels and their gradients are those of torch's own cross-entropy."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy, linear

from judgeloop.training import label_logprobs
from judgeloop.training.label_logprobs import label_log_probs

TOKENS, SIZE, VOCABULARY = 37, 24, 101


def given(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOKENS, SIZE, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, SIZE, generator=generator).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(0, VOCABULARY, (TOKENS,), generator=generator)


def plain(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return -cross_entropy(linear(hidden, weight).float(), labels, reduction="none")


@pytest.mark.parametrize("block", [1, 5 * VOCABULARY, 2**20])
@pytest.mark.parametrize("bf16", [False, True])
def test_values_and_gradients_equal_the_plain_way(bf16: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_logprobs, "_BLOCK", block)
    found = []
    for function in (label_log_probs, plain):
        hidden, weight, labels = given()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            values = function(hidden, weight, labels)
        (values * torch.linspace(-1, 2, TOKENS)).sum().backward()
        found.append((values.detach(), hidden.grad, weight.grad))
    for mine, theirs in zip(*found, strict=True):
        assert mine is not None
        assert theirs is not None
        assert mine.dtype == torch.float32
        # In bf16 both round the logits and their gradients at the same places.
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-2 if bf16 else 1e-5)


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, weight, labels = given()
    weight.requires_grad_(False)
    label_log_probs(hidden, weight, labels).sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_gradients_are_those_of_finite_differences() -> None:
    hidden, weight, labels = given(torch.double)
    # The values are float32, so the steps are wide and the tolerance is theirs.
    assert gradcheck(lambda h, w: label_log_probs(h, w, labels).double(), (hidden, weight), eps=1e-2, atol=2e-3)
