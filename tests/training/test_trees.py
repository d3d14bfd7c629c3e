"""A step's sequences as one token tree give the log-probabilities and gradients of the sequences alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

from judgeloop.models.tree_attention import tree_limit
from judgeloop.training import logprobs
from judgeloop.training.data import SftExample
from judgeloop.training.logprobs import add_response_head
from judgeloop.training.packs import collate, pack

# Prompts and responses of many lengths; a response may be one token.
SHARED = [11] * 30
ROWS = [([5, 6, 7, 8], [20, 21]), ([9, 10], [40]), (SHARED, [60, 61, 62]), ([5, 6, 7, 8], [30] * 300), (SHARED, [63])]


def batch(rows: list[tuple[list[int], list[int]]]) -> dict[str, torch.Tensor]:
    width = max(len(prompt) + len(response) for prompt, response in rows)
    ids = torch.tensor([[*p, *r, *[0] * (width - len(p) - len(r))] for p, r in rows])
    mask = torch.tensor([[1] * (len(p) + len(r)) + [0] * (width - len(p) - len(r)) for p, r in rows])
    labels = ids.masked_fill(mask == 0, -100)
    for row, (prompt, _) in zip(labels, rows, strict=True):
        row[: len(prompt)] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)


def found(model: Any, inputs: dict[str, torch.Tensor], **more: torch.Tensor) -> tuple[torch.Tensor, dict[str, Any]]:
    model.zero_grad()
    log_probs = model(**inputs, **more, fused_lm_head=True).log_probs
    (log_probs * torch.linspace(1, 2, log_probs.shape[1])).sum().backward()
    return log_probs.detach(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


def assert_same(one: tuple[torch.Tensor, dict[str, Any]], other: tuple[torch.Tensor, dict[str, Any]]) -> None:
    torch.testing.assert_close(one[0], other[0], atol=2e-5, rtol=1e-5)
    for name, gradient in other[1].items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(one[1][name], gradient, atol=1e-4 * scale, rtol=1e-3, msg=name)


def test_values_and_gradients_are_those_of_separate_sequences(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = batch(ROWS)
    whole = loaded(model_folder)
    assert add_response_head(whole)
    as_tree = found(whole, inputs)
    assert int((as_tree[0] != 0).sum()) == sum(len(response) for _, response in ROWS)
    monkeypatch.setattr(logprobs, "tree_limit", lambda _model: 0)
    separate = loaded(model_folder)
    assert add_response_head(separate)
    assert_same(as_tree, found(separate, inputs))


def test_every_token_goes_through_once(model_folder: Path) -> None:
    model = loaded(model_folder)
    add_response_head(model)
    seen: list[int] = []
    model.base_model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    with torch.no_grad():
        model(**batch(ROWS), fused_lm_head=True)
    assert seen == [4 + 2 + 300 + 2 + 1 + 30 + 3 + 1]


def test_a_pack_gives_what_its_rows_give(model_folder: Path) -> None:
    model = loaded(model_folder)
    add_response_head(model)
    rows = [
        SftExample("a", [*range(10, 40), 3, 4], [9, 8]),
        SftExample("b", [*range(10, 40), 5], [7]),
        SftExample("c", [6], [5]),
    ]
    packed = collate([pack(rows[:2], "row").columns(), pack(rows[2:], "row").columns()], pad_id=0)
    names = ("input_ids", "attention_mask", "labels")
    log_probs = model(**{name: packed[name] for name in names}, owners=packed["owners"], fused_lm_head=True).log_probs
    alone = [model(**batch([(r.prompt_ids, r.target_ids)]), fused_lm_head=True).log_probs for r in rows]
    torch.testing.assert_close(log_probs[log_probs != 0], torch.cat([a[a != 0] for a in alone]), atol=2e-5, rtol=1e-5)


def test_a_checkpointed_backward_attends_to_the_tree_too(model_folder: Path) -> None:
    from judgeloop.models.tree_attention import tree_attention

    inputs = batch(ROWS)
    plain = loaded(model_folder)
    add_response_head(plain)
    expected = found(plain, inputs)
    model = loaded(model_folder)
    add_response_head(model)
    model.train()
    model.activation_checkpointing_enable()
    with tree_attention(model):  # as the trainers do around a step
        assert_same(found(model, inputs), expected)


def test_trees_are_for_attention_that_can_be_replaced(model_folder: Path) -> None:
    model = loaded(model_folder)
    assert tree_limit(model) == math.inf
    model.config.sliding_window = 4095  # as Mistral and Phi-3 say it, in one number for all layers
    assert tree_limit(model) == 4095
    model.config.use_sliding_window = False  # as Qwen2 has one without using it
    assert tree_limit(model) == math.inf
    model.config._attn_implementation = "eager"
    assert tree_limit(model) == 0


def test_dropout_in_attention_is_not_left_out(model_folder: Path) -> None:
    model = loaded(model_folder)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.1
    assert tree_limit(model) == 0


def test_a_model_that_mixes_neighbours_unseen_is_found_out(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(model_folder)
    mlp = model.model.layers[0].mlp
    forward = mlp.forward
    monkeypatch.setattr(mlp, "forward", lambda states: forward(states + states.roll(1, dims=1)))
    assert tree_limit(model) == 0


@pytest.mark.parametrize("window", [8, 64])
def test_a_sliding_window_is_kept(window: int) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MistralConfig(vocab_size=99, num_key_value_heads=2, sliding_window=window, **sizes)
    model = MistralForCausalLM._from_config(config, attn_implementation="sdpa").eval()
    assert add_response_head(model)
    inputs = batch([row for row in ROWS if len(row[1]) < 100])
    log_probs = model(**inputs, fused_lm_head=True).log_probs
    plain = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits.log_softmax(-1)
    labels = inputs["labels"][:, 1:]
    expected = plain[:, :-1].gather(2, labels.clamp(min=0)[..., None])[..., 0].masked_fill(labels == -100, 0)
    torch.testing.assert_close(log_probs, expected, atol=2e-5, rtol=1e-5)
