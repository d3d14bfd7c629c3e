from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from judgeloop.training import logprobs
from judgeloop.training.logprobs import add_response_head, length_groups, plain_head
from tiny import make_tiny_model


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 120))
def test_groups_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    groups = length_groups(lengths, budget)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= budget
    firsts = [lengths[group[0]] for group in groups]
    assert firsts == sorted(firsts, reverse=True)


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)


def batch() -> dict[str, torch.Tensor]:
    """Four right-padded rows of different length, labels on their ends."""
    generator = torch.Generator().manual_seed(0)
    lengths, starts = [9, 14, 3, 11], [4, 2, 2, 10]
    ids = torch.zeros(4, 14, dtype=torch.long)
    mask = torch.zeros(4, 14, dtype=torch.long)
    labels = torch.full((4, 14), -100)
    for i, (length, start) in enumerate(zip(lengths, starts, strict=True)):
        ids[i, :length] = torch.randint(3, 300, (length,), generator=generator)
        mask[i, :length] = 1
        labels[i, start:length] = ids[i, start:length]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("small", [False, True])
def test_values_and_gradients_equal_those_of_trl(
    tmp_path: Path, family: Any, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:  # several groups, several pieces of logits
        monkeypatch.setattr(logprobs, "GROUP_TOKENS", 16)
        monkeypatch.setattr(logprobs, "_LOGIT_BYTES", 4 * 448 * 3)
    folder = make_tiny_model(tmp_path / family, family)
    ours, theirs = load(folder), load(folder)
    add_response_head(ours)
    add_fused_lm_head(theirs)
    inputs = batch()
    weights = torch.linspace(-1, 1, 13)
    found = ours(**inputs, fused_lm_head=True).log_probs
    expected = theirs(**inputs, fused_lm_head=True).log_probs
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(found == 0, inputs["labels"][:, 1:] == -100)
    grads, expected_grads = gradients(ours, (found * weights).sum()), gradients(theirs, (expected * weights).sum())
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected_grads[name], atol=2e-4, rtol=1e-4)


def test_without_the_flag_the_model_is_as_before(model_folder: Path) -> None:
    plain, patched = load(model_folder), load(model_folder)
    add_response_head(patched)
    ids = batch()["input_ids"]
    assert torch.equal(plain(input_ids=ids).logits, patched(input_ids=ids).logits)


def test_a_model_that_transforms_its_logits_keeps_its_own_way(model_folder: Path) -> None:
    model = load(model_folder)
    assert plain_head(model)
    model.config.final_logit_softcapping = 30.0
    assert not plain_head(model)
    add_fused_lm_head(model)
    before = model.forward
    add_response_head(model)
    assert model.forward == before
