"""Copies of frozen weights give what a cast at each use gives, follow a change, and have a bound."""

from __future__ import annotations

import pytest
import torch

from judgeloop.training import frozen_weights
from judgeloop.training.frozen_weights import in_type, use_kept_weights


def _frozen(*shape: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(1)), requires_grad=False)


def test_a_frozen_weight_is_cast_once_and_again_when_it_changes() -> None:
    weight = _frozen(6, 4)
    first = in_type(weight, torch.bfloat16)
    assert torch.equal(first, weight.bfloat16())
    assert in_type(weight, torch.bfloat16) is first
    weight.mul_(2)
    assert torch.equal(in_type(weight, torch.bfloat16), weight.bfloat16())


def test_a_trained_weight_is_cast_with_a_gradient_each_time() -> None:
    weight = torch.nn.Parameter(torch.ones(3, 3))
    one, other = in_type(weight, torch.bfloat16), in_type(weight, torch.bfloat16)
    assert one is not other
    assert one.requires_grad


def test_copies_beyond_the_bound_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_weights, "_MOST", 0)
    weight = _frozen(6, 4)
    assert in_type(weight, torch.bfloat16) is not in_type(weight, torch.bfloat16)


@pytest.mark.parametrize("bias", [False, True])
def test_layers_answer_as_before_with_and_without_autocast(bias: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 16, bias=bias), torch.nn.Linear(16, 4, bias=bias))
    model[0].requires_grad_(False)
    states = torch.randn(5, 8, generator=torch.Generator().manual_seed(2))

    def answers() -> list[torch.Tensor]:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            cast = model(states)
        cast.float().sum().backward()
        gradient = model[1].weight.grad
        assert gradient is not None
        return [model(states).detach(), cast.detach(), gradient.clone()]

    before = answers()
    assert use_kept_weights(model) == 1
    for one, other in zip(before, answers(), strict=True):
        assert torch.equal(one, other)
    assert set(model.state_dict()) == {f"{layer}.{part}" for layer in "01" for part in ["weight", "bias"][: 1 + bias]}
