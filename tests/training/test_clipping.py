"""Clipping inside the optimiser's step gives what clipping before it does."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from judgeloop.training.clipping import clip_in_step


def _parameters() -> list[torch.nn.Parameter]:
    made = torch.Generator().manual_seed(3)
    found = [torch.nn.Parameter(torch.randn(*shape, generator=made)) for shape in ((40, 30), (30,), (7, 5))]
    for parameter in found[:2]:  # the third has no gradient
        parameter.grad = 3 * torch.randn(parameter.shape, generator=made)
    return found


def _optimizer(parameters: list[torch.nn.Parameter], **options: Any) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, lr=0.1, **options)


@pytest.mark.parametrize("most", [0.5, 1e9], ids=["clipped", "small enough"])
def test_a_step_is_as_with_clipping_before_it(most: float) -> None:
    ours, theirs = _parameters(), _parameters()
    own, plain = _optimizer(ours, fused=True), _optimizer(theirs, fused=True)
    for _ in range(2):  # the second step has moments to go by
        norm = clip_in_step(ours, own, most)
        expected = torch.nn.utils.clip_grad_norm_(theirs, most)
        torch.testing.assert_close(norm, expected)
        own.step()
        plain.step()
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
            if one.grad is not None and other.grad is not None:
                one.grad, other.grad = 2 * other.grad.clone(), 2 * other.grad.clone()


def test_an_optimiser_that_takes_no_divisor_is_left_to_clipping_before_it() -> None:
    parameters = _parameters()
    assert clip_in_step(parameters, _optimizer(parameters), 0.5) is None
    assert clip_in_step(parameters, torch.optim.SGD(parameters, lr=0.1), 0.5) is None


def test_gradients_of_another_type_are_left_to_clipping_before_it() -> None:
    parameters = [torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))]
    parameters[0].grad = torch.ones(4, dtype=torch.bfloat16)
    optimizer = _optimizer(parameters, fused=True)
    assert clip_in_step(parameters, optimizer, 0.5) is None
    assert getattr(optimizer, "grad_scale", None) is None


def test_a_gradient_that_is_no_number_is_told() -> None:
    parameters = _parameters()
    parameters[0].grad = torch.full_like(parameters[0], torch.nan)
    norm = clip_in_step(parameters, _optimizer(parameters, fused=True), 0.5)
    assert norm is not None
    assert bool(norm.isnan())
