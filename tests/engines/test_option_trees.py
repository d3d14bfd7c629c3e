from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    GptOssConfig,
    Lfm2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.models.llama.modeling_llama import LlamaMLP

from judgeloop.engines import option_trees
from judgeloop.engines.base import OptionRequest
from judgeloop.engines.gated_mlp import faster, gated_mlps
from judgeloop.engines.head import Float32Head
from judgeloop.engines.option_trees import OptionTrees
from judgeloop.engines.options import option_logprobs
from judgeloop.models.token_tree import Branch, trees

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,  # logits with something to get wrong
}
SHARED: dict[str, Any] = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES),
    "phi3": Phi3Config(**SIZES),
    "mistral, a window of 9": MistralConfig(**SIZES, sliding_window=9),
    "gemma3, windows of 9": Gemma3TextConfig(
        **SIZES, sliding_window=9, layer_types=["sliding_attention", "full_attention", "sliding_attention"]
    ),
    "qwen3_moe": Qwen3MoeConfig(**SIZES, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16),
}
ALONE: dict[str, Any] = {
    "lfm2, convolutions": Lfm2Config(**SIZES, layer_types=["conv", "full_attention", "conv"]),
    "mamba": MambaConfig(vocab_size=300, hidden_size=32, num_hidden_layers=2, state_size=4, pad_token_id=0),
    "gemma2, capped scores": Gemma2Config(**SIZES, attn_logit_softcapping=5.0),
    "gpt-oss, sinks": GptOssConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2),
    "llama, dynamic rope": LlamaConfig(
        **SIZES, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    ),
}


def model_of(config: Any, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config).to(dtype).eval()


def requests() -> list[OptionRequest]:
    """Rubric, five prompts, three responses each and an end: of many lengths, one twice, one the start of another."""
    draw = random.Random(0)

    def some(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw.randrange(3, 300) for _ in range(draw.randint(low, high)))

    digits = tuple((token,) for token in range(10, 16))
    words = (*digits, (10, 11), (10, 12, 13), (40, 41, 42, 43))
    rubric, end, found = some(20, 20), some(6, 6), []
    for number in range(5):
        prompt = some(2, 30)
        for k in range(3):
            ids = rubric + prompt + some(1, 40) + end
            found.append(OptionRequest(f"{number}.{k}", ids, words if k == 1 else digits))
    return [*found, OptionRequest("again", found[4].prompt_ids, words), OptionRequest("start", rubric + prompt, digits)]


def alone(model: Any, asked: list[OptionRequest]) -> dict[str, list[float]]:
    """One plain forward an option."""
    found: dict[str, list[float]] = {}
    with torch.inference_mode():
        for request in asked:
            start = len(request.prompt_ids) - 1
            for option in request.options:
                logprobs = model(torch.tensor([request.prompt_ids + option]), use_cache=False).logits[0].log_softmax(-1)
                value = sum(float(logprobs[start + k, token]) for k, token in enumerate(option))
                found.setdefault(request.id, []).append(value)
    return found


def read(model: Any, asked: list[OptionRequest], reader: OptionTrees | None = None) -> dict[str, tuple[float, ...]]:
    results = option_logprobs(model, asked, trees=reader or OptionTrees(model), pad_id=0, batch_tokens=600)
    return {result.request_id: result.logprobs for result in results}


@pytest.mark.parametrize("tokens", [60, 2048])
@pytest.mark.parametrize("name", SHARED)
def test_a_tree_gives_what_each_request_gets_alone(name: str, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(option_trees, "_TOKENS", tokens)
    model, asked = model_of(SHARED[name]), requests()
    assert OptionTrees(model).can_read([request.prompt_ids for request in asked])
    found, expected = read(model, asked), alone(model, asked)
    assert set(found) == {request.id for request in asked}
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, abs=1e-5)
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", ALONE)
def test_what_a_tree_would_change_is_read_without_one(name: str) -> None:
    model, asked = model_of(ALONE[name]), requests()
    assert not OptionTrees(model).can_read([request.prompt_ids for request in asked])
    found, expected = read(model, asked[:6]), alone(model, asked[:6])
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, abs=2e-5)


def test_a_model_that_mixes_neighbours_unseen_is_found_out() -> None:
    model, asked = model_of(SHARED["llama"]), requests()
    model.model.layers[0].register_forward_hook(lambda _module, _args, output: output + output.roll(1, dims=1))
    assert not OptionTrees(model).can_read([request.prompt_ids for request in asked])


def test_every_token_goes_through_once() -> None:
    model, asked = model_of(SHARED["llama"]), requests()[:15]
    reader = OptionTrees(model)
    assert reader.can_read([request.prompt_ids for request in asked])  # its own comparison is done by now
    seen: list[int] = []
    model.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    read(model, asked, reader)
    runs = {r.prompt_ids + option[:-1] for r in asked for option in r.options}
    assert seen == [len({ids[:end] for ids in runs for end in range(1, len(ids) + 1)})]


def test_trees_by_hand() -> None:
    sequences = [(1, 2, 3), (1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 5), (1, 6, 7, 8)]
    (one, first), (other, second) = trees(sequences, 1, 5)
    assert (first, second) == ([0, 1, 2, 3], [4])
    assert (one.ids, one.positions) == ([2, 3, 4, 5], [1, 2, 3, 2])
    assert one.paths == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 4]]
    assert one.branches == [Branch(1, [0, 1, 2]), Branch(3, [0, 1, 2, 3]), Branch(2, [0, 1, 4])]
    assert (other.ids, other.positions, other.paths) == ([6, 7, 8], [1, 2, 3], [[0, 1, 2, 3]])


def test_in_bfloat16_the_head_computes_in_float32_and_is_left_as_it_was() -> None:
    model = model_of(LlamaConfig(**{**SIZES, "vocab_size": 5000}), torch.bfloat16)
    states = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.inference_mode():
        with Float32Head(model):
            logits = model.lm_head(states)
        expected = states.float() @ model.lm_head.weight.float().T
        assert model.lm_head(states).dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fused_mlp_gives_what_its_parts_give(dtype: torch.dtype) -> None:
    model = model_of(SHARED["llama"], dtype)
    mlps = gated_mlps(model)
    assert list(mlps) == [f"model.layers.{layer}.mlp" for layer in range(3)]
    states = torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    kept = torch.tensor([2, 6])
    with torch.inference_mode():
        expected = [mlp(states).float() for mlp in mlps.values()]
        with faster(mlps, ".2.", kept):
            found = [mlp(states).float() for mlp in mlps.values()]
    close = {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.05, "rtol": 0.02}
    for one, other in zip(found[:2], expected[:2], strict=True):
        torch.testing.assert_close(one, other, **close)
    torch.testing.assert_close(found[2][:, kept], expected[2][:, kept], **close)
    assert not any("forward" in vars(mlp) for mlp in mlps.values())


def test_an_mlp_that_does_more_than_its_parts_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: 1.5 * plain(self, x))
    assert gated_mlps(model_of(SHARED["llama"])) == {}
