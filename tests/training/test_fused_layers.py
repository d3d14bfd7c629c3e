"""Fused norms and rotations give the values and gradients of the model's own, and others are left alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from judgeloop.training import fused_layers
from judgeloop.training.fused_layers import fuse_layers

SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 96, "pad_token_id": 0, "initializer_range": 0.3,
}  # fmt: skip
LLAMA_3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
# The kind of model, its config, and how many parts are fused: in each of two layers two norms and the attention.
KINDS = [
    ("llama", {}, 7),
    ("llama", {"rope_parameters": LLAMA_3}, 7),
    ("mistral", {"sliding_window": 4}, 7),
    ("qwen2", {}, 7),
    ("qwen3", {}, 7),
    ("granite", {"residual_multiplier": 0.3}, 7),
    ("smollm3", {"no_rope_layers": [1, 0]}, 7),  # one layer of two turns nothing
    ("qwen3_moe", MOE, 7),
    ("olmo2", {}, 0),  # norms of what a product gave
    ("gemma2", {}, 2),  # norms with 1 + weight
    ("cohere", {}, 0),  # no RMS norm
    ("gpt_neox", {}, 0),  # a part of each head is turned
]


def made(kind: str, changes: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SIZES, **changes}), dtype=torch.float32)
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return model


def found(model: Any, autocast: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    ids = torch.randint(1, 96, (2, 23), generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = model(input_ids=ids, use_cache=False).logits
    logits.float().log_softmax(-1).gather(2, ids[..., None]).sum().backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return logits.detach(), gradients


@pytest.mark.parametrize(("kind", "changes", "parts"), KINDS, ids=[f"{kind}{len(more)}" for kind, more, _ in KINDS])
def test_values_and_gradients_are_the_models_own(
    kind: str, changes: dict[str, Any], parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_layers, "_BLOCK", 32 * 7)  # several blocks, the last one short
    model = made(kind, changes)
    logits, gradients = found(model)
    assert fuse_layers(model) == parts
    fused_logits, fused_gradients = found(model)
    torch.testing.assert_close(fused_logits, logits, atol=1e-5, rtol=1e-5)
    assert fused_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(fused_gradients[name], gradient, atol=1e-5 * scale, rtol=1e-4, msg=name)


def test_under_autocast_a_norm_gives_what_the_products_read() -> None:
    model = made("llama", {})
    kinds: list[torch.dtype] = []
    model.model.layers[0].self_attn.q_proj.register_forward_pre_hook(lambda _, given: kinds.append(given[0].dtype))
    logits, gradients = found(model, autocast=True)
    fuse_layers(model)
    fused_logits, fused_gradients = found(model, autocast=True)
    assert kinds == [torch.float32, torch.bfloat16]
    torch.testing.assert_close(fused_logits, logits, atol=0.02 * float(logits.abs().max()), rtol=0)
    for name, gradient in gradients.items():  # gradients of a norm's products are added in bfloat16
        assert (fused_gradients[name] - gradient).norm() <= 0.03 * gradient.norm(), name


def test_a_rotation_is_turned_back_by_its_gradient() -> None:
    states = torch.randn(1, 2, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    angles = torch.arange(5.0)[None, :, None] * torch.tensor([1.0, 0.5, 0.2, 0.1]).repeat(2)
    turned = fused_layers._Rotate.apply(states.float(), angles.cos(), angles.sin(), torch.float32)
    torch.testing.assert_close(turned.norm(dim=-1), states.float().norm(dim=-1))
    leaf = states.float().requires_grad_()
    fused_layers._Rotate.apply(leaf, angles.cos(), angles.sin(), torch.float32).backward(turned)
    torch.testing.assert_close(leaf.grad, states.float(), atol=1e-6, rtol=1e-5)


def test_weights_of_another_type_are_left_as_they_are() -> None:
    model = made("llama", {}).to(torch.bfloat16)
    assert fuse_layers(model) == 0
    assert "forward" not in vars(model.model.norm)


def test_what_is_fused_already_stays_so() -> None:
    model = made("llama", {})
    assert fuse_layers(model) == 7
    assert fuse_layers(copy.copy(model)) == 0
