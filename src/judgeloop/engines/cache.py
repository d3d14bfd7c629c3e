"""A key-value cache with room to grow, so that a decoding step writes one column instead of copying everything."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, LinearAttentionCacheLayerMixin


class GrowingLayer:
    """Takes the place of DynamicLayer: `keys` and `values` (rows, heads, tokens, head size) are views of larger
    buffers."""

    is_sliding = False
    is_croppable = False
    is_compileable = False

    def __init__(self, room: int) -> None:
        self.room = room
        self.is_initialized = False
        self.keys: Tensor = torch.empty(0)
        self.values: Tensor = torch.empty(0)
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append the new tokens' keys and values; return all of them."""
        used = self.get_seq_length()
        end = used + key_states.shape[-2]
        if self._buffers is None or self._buffers[0].shape[-2] < end:
            old = (self.keys, self.values)
            self._buffers = (_with_room(key_states, end + self.room), _with_room(value_states, end + self.room))
            if used:
                self._fill(old)
        self.is_initialized = True
        keys, values = self._buffers
        keys[..., used:end, :] = key_states
        values[..., used:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Tokens held."""
        return int(self.keys.shape[-2]) if self.is_initialized else 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys that `query_length` new tokens will look at."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """No maximum."""
        return -1

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep (or repeat) the rows in `indices`."""
        if self._buffers is None:
            return
        capacity = self._buffers[0].shape[-2]
        kept = (self.keys[indices], self.values[indices])
        self._buffers = (_with_room(kept[0], capacity), _with_room(kept[1], capacity))
        self._fill(kept)

    def _fill(self, states: tuple[Tensor, Tensor]) -> None:
        assert self._buffers is not None
        used = states[0].shape[-2]
        for buffer, state in zip(self._buffers, states, strict=True):
            buffer[..., :used, :] = state
        self.keys, self.values = (buffer[..., :used, :] for buffer in self._buffers)


CacheLayerMixin.register(GrowingLayer)


def select_rows(cache: Any, indices: Tensor) -> None:
    """Keep (or repeat) the rows in `indices`. Layers of convolutions or linear attention know this as reordering."""
    for layer in cache.layers:
        linear = isinstance(layer, LinearAttentionCacheLayerMixin)
        (layer.reorder_cache if linear else layer.batch_select_indices)(indices)


def _with_room(like: Tensor, tokens: int) -> Tensor:
    return torch.empty((*like.shape[:2], tokens, like.shape[-1]), dtype=like.dtype, device=like.device)


def new_cache(config: Any, room: int) -> Any:
    """An empty cache for the model; plain attention layers get `room` tokens beyond what first comes in."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def with_prefix(config: Any, prefix: Any, rows: int, room: int) -> Any:
    """A cache of `rows` rows that all start with the single row of `prefix`."""
    cache = new_cache(config, room)
    for layer, source in zip(cache.layers, prefix.layers, strict=True):
        layer.update(source.keys.expand(rows, -1, -1, -1), source.values.expand(rows, -1, -1, -1))
    return cache


def is_plain(config: Any) -> bool:
    """Has every layer ordinary attention, so that a prefix may be computed once and shared?"""
    layers = DynamicCache(config=config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
