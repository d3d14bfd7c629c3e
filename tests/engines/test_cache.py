from __future__ import annotations

import torch
from transformers import DynamicCache
from transformers.models.lfm2 import Lfm2Config
from transformers.models.llama import LlamaConfig
from transformers.models.mistral import MistralConfig

from judgeloop.engines.cache import GrowingLayer, is_plain, new_cache, select_rows, with_prefix

CONFIG = LlamaConfig(num_hidden_layers=2, hidden_size=16, num_attention_heads=2)


def states(rows: int, tokens: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 2, tokens, 8, generator=generator), torch.randn(rows, 2, tokens, 8, generator=generator)


def test_it_holds_what_a_plain_cache_holds_while_rows_and_tokens_come_and_go() -> None:
    ours, plain = new_cache(CONFIG, room=3), DynamicCache(config=CONFIG)
    steps = [(2, 5), "grow", (4, 1), (4, 1), "shrink", (2, 1), (2, 1), (2, 1), (2, 4)]
    for seed, step in enumerate(steps):
        if isinstance(step, str):
            indices = torch.tensor([0, 1, 1, 0] if step == "grow" else [3, 1])
            ours.batch_select_indices(indices)
            plain.batch_select_indices(indices)
            continue
        for layer in range(2):
            new = states(*step, seed=10 * seed + layer)
            for found, expected in zip(ours.update(*new, layer), plain.update(*new, layer), strict=True):
                torch.testing.assert_close(found, expected, atol=0, rtol=0)
        assert ours.get_seq_length() == plain.get_seq_length()


def test_a_prefix_is_repeated_for_every_row() -> None:
    prefix = new_cache(CONFIG, room=0)
    for layer in range(2):
        prefix.update(*states(1, 6, layer), layer)
    cache = with_prefix(CONFIG, prefix, rows=3, room=2)
    new = states(3, 2, 7)
    keys, _ = cache.update(*new, 0)
    torch.testing.assert_close(keys, torch.cat([prefix.layers[0].keys.expand(3, -1, -1, -1), new[0]], dim=-2))
    assert prefix.get_seq_length() == 6


def test_only_ordinary_attention_shares_a_prefix() -> None:
    assert is_plain(CONFIG)
    sliding = MistralConfig(num_hidden_layers=2, sliding_window=4)
    assert not is_plain(sliding)
    assert not any(isinstance(layer, GrowingLayer) for layer in new_cache(sliding, 1).layers)


def test_rows_of_convolutions_are_kept_and_repeated_too() -> None:
    config = Lfm2Config(
        num_hidden_layers=2, hidden_size=16, num_attention_heads=2, layer_types=["conv", "full_attention"]
    )
    cache = new_cache(config, room=2)
    convolved, (keys, values) = torch.arange(3.0).reshape(3, 1, 1).expand(3, 4, 3), states(3, 5, 0)
    cache.layers[0].update_conv_state(convolved)
    cache.layers[1].update(keys, values)
    for chosen in ([0, 0, 1, 2], [3, 1]):
        keep = torch.tensor(chosen)
        select_rows(cache, keep)
        convolved, keys = convolved[keep], keys[keep]
        assert torch.equal(cache.layers[0].conv_states[0], convolved)
        assert torch.equal(cache.layers[1].keys, keys)
