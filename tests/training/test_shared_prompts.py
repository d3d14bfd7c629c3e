from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

from judgeloop.training import logprobs
from judgeloop.training.logprobs import add_response_head
from judgeloop.training.shared_prompts import can_share, pack_pairs, pays

# (prompt, chosen, rejected) of three pairs, of many lengths; a response may be one token.
PAIRS = [([5, 6, 7, 8], [20, 21], [30, 31, 32, 33, 34]), ([9, 10], [40], [50]), ([11] * 30, [60, 61, 62], [63])]


def batch(pairs: list[tuple[list[int], list[int], list[int]]]) -> dict[str, torch.Tensor]:
    sequences = [[*p, *c] for p, c, _ in pairs] + [[*p, *r] for p, _, r in pairs]
    prompts = [len(p) for p, _, _ in pairs] * 2
    width = max(map(len, sequences))
    ids = torch.tensor([s + [0] * (width - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sequences])
    labels = ids.masked_fill(mask == 0, -100)
    for row, start in zip(labels, prompts, strict=True):
        row[:start] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@pytest.mark.parametrize("group_tokens", [10, 1000])
def test_values_and_gradients_are_those_of_separate_sequences(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, group_tokens: int
) -> None:
    monkeypatch.setattr(logprobs, "GROUP_TOKENS", group_tokens)
    model = AutoModelForCausalLM.from_pretrained(str(model_folder), dtype=torch.float32)
    assert add_response_head(model)
    inputs = batch(PAIRS)
    found = {}
    for name, prompts in (("separate", ()), ("shared", [len(p) for p, _, _ in PAIRS])):
        model.zero_grad()
        log_probs = model(**inputs, fused_lm_head=True, shared_prompts=prompts).log_probs
        (log_probs * torch.linspace(1, 2, log_probs.shape[1])).sum().backward()
        found[name] = log_probs.detach(), {n: p.grad.clone() for n, p in model.named_parameters()}
    torch.testing.assert_close(found["shared"][0], found["separate"][0], atol=2e-5, rtol=1e-5)
    assert int((found["shared"][0] != 0).sum()) == sum(len(c) + len(r) for _, c, r in PAIRS)
    for name, gradient in found["separate"][1].items():
        torch.testing.assert_close(found["shared"][1][name], gradient, atol=2e-3, rtol=1e-3, msg=name)


def test_the_prompt_really_goes_through_once(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModelForCausalLM.from_pretrained(str(model_folder), dtype=torch.float32)
    add_response_head(model)
    seen: list[int] = []
    model.base_model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    inputs = batch(PAIRS[2:])
    with torch.no_grad():
        model(**inputs, fused_lm_head=True, shared_prompts=[30])
        model(**inputs, fused_lm_head=True)
    assert seen == [30 + 3 + 1, 2 * 33]


def test_a_pack_by_hand() -> None:
    inputs = batch([([5, 6], [7, 8], [9])])
    packed = pack_pairs(inputs["input_ids"], [4, 3], [2], [0])
    assert packed.ids.tolist() == [[5, 6, 7, 8, 9]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 2]]
    assert packed.mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],  # the rejected token sees the prompt and itself, not the chosen response
    ]
    assert packed.reads.tolist() == [[0, 0, 0], [1, 2, 1]]
    assert packed.writes.tolist() == [[0, 0, 1], [1, 2, 1]]


def test_sharing_is_for_prompts_worth_it_and_plain_attention(model_folder: Path) -> None:
    assert pays([50], [250, 250])
    assert not pays([40], [250, 250])
    model = AutoModelForCausalLM.from_pretrained(str(model_folder), dtype=torch.float32)
    assert can_share(model, 4096)
    model.config.sliding_window = 4095  # as Mistral and Phi-3 say it, in one number for all layers
    assert not can_share(model, 4096)
    assert can_share(model, 4095)
    model.config.use_sliding_window = False  # as Qwen2 has one without using it
    assert can_share(model, 4096)
    model.config._attn_implementation = "eager"
    assert not can_share(model, 10)


@pytest.mark.parametrize("window", [8, 64])
def test_a_sliding_window_is_kept(tmp_path: Path, window: int) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MistralConfig(vocab_size=99, num_key_value_heads=2, sliding_window=window, **sizes)
    model = MistralForCausalLM._from_config(config, attn_implementation="sdpa").eval()
    assert add_response_head(model)
    inputs = batch(PAIRS)
    alone = model(**inputs, fused_lm_head=True).log_probs
    shared = model(**inputs, fused_lm_head=True, shared_prompts=[len(p) for p, _, _ in PAIRS]).log_probs
    torch.testing.assert_close(shared, alone, atol=2e-5, rtol=1e-5)
    plain = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits.log_softmax(-1)
    labels = inputs["labels"][:, 1:]
    expected = plain[:, :-1].gather(2, labels.clamp(min=0)[..., None])[..., 0].masked_fill(labels == -100, 0)
    torch.testing.assert_close(alone, expected, atol=2e-5, rtol=1e-5)
