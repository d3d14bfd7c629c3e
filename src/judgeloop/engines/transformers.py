"""The engine for any architecture: transformers' models with a decoding loop of our own.

Against `generate` it saves the sort of the vocabulary at every step, the copy of the whole cache at every step, the
work on finished rows, and the prompt's second to n-th computation; a sample depends on its own seed only.
"""

from __future__ import annotations

import gc
import inspect
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.utils import logging

from judgeloop.config import EngineSection
from judgeloop.engines.base import FinishReason, Generation, OptionLogprobs, OptionRequest, Request, Sampling
from judgeloop.engines.batch import left_padded
from judgeloop.engines.cache import new_cache, select_rows
from judgeloop.engines.option_trees import OptionTrees
from judgeloop.engines.options import option_logprobs
from judgeloop.engines.sampling import draw
from judgeloop.engines.text import cut_at_stop
from judgeloop.errors import InputError
from judgeloop.models.auto_class import own_state
from judgeloop.models.chat import Chat
from judgeloop.models.hardware import cores, cpu_has_bf16, has_cuda
from judgeloop.models.whole_model import load_whole_model
from judgeloop.records import derive_seed

_COMPACT = 0.75  # finished rows leave when fewer than this share of the batch's rows are still running


@dataclass
class _Row:
    """One sample being generated."""

    place: int  # of its request in the list
    index: int
    random: random.Random
    ids: list[int] = field(default_factory=list)
    finish: FinishReason | None = None


@dataclass(frozen=True)
class _Part:
    """Samples `first` ≤ index < `end` of the request at `place`."""

    place: int
    first: int
    end: int


class TransformersEngine:
    """One model in transformers, on CUDA where there is one, else on the CPU."""

    name = "transformers"

    def __init__(
        self,
        section: EngineSection,
        folder: Path,
        chat: Chat,
        *,
        threads: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self._section = section
        self._chat = chat
        cuda = has_cuda()
        torch.set_num_threads(threads or min(torch.get_num_threads(), cores()))
        logging.disable_progress_bar()  # of loading: it would be in the middle of a command's own
        bf16 = section.precision == "default" and (torch.cuda.is_bf16_supported() if cuda else cpu_has_bf16())
        model = load_whole_model(
            folder,
            dtype=torch.bfloat16 if bf16 else torch.float32,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            local_files_only=True,
        )
        self._model: Any = model.to("cuda" if cuda else "cpu").eval()
        self._trees: Any = OptionTrees(self._model)
        sizes = model.config.get_text_config()
        if getattr(sizes, "output_router_logits", False):  # the router's loss is of no use here, and fails with a cache
            sizes.output_router_logits = False
        takes = inspect.signature(self._model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        # Mamba's state goes by another name; given under this one it would be passed over without a word.
        self._cache_name = next((name for name in ("past_key_values", "cache_params") if name in takes), "")
        if (reason := own_state(sizes.model_type, takes_cache=bool(self._cache_name))) is not None:
            raise InputError(f"{folder}: {reason}; set engine.kind to vllm if that runs it, or give another model")

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield every sample of every request, a request's samples together, as each request finishes."""
        done: dict[int, list[_Row]] = {}
        for batch in self._batches(requests):
            for row in self._decode(requests, batch):
                rows = done.setdefault(row.place, [])
                rows.append(row)
                request = requests[row.place]
                if len(rows) == request.n:
                    for finished in sorted(done.pop(row.place), key=lambda r: r.index):
                        yield self._generation(request, finished)

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        """Yield one result for every request; what prompts start with alike is computed once."""
        yield from option_logprobs(
            self._model,
            requests,
            trees=self._trees,
            pad_id=self._chat.pad_id,
            batch_tokens=self._section.batch_tokens,
        )

    def close(self) -> None:
        """Give back the memory. Calling it twice is fine."""
        self._model = self._trees = None
        gc.collect()
        if has_cuda():
            torch.cuda.empty_cache()

    def _batches(self, requests: Sequence[Request]) -> Iterator[list[_Part]]:
        """Requests of like sampling and length, within the limits on sequences, prompt tokens and cache memory."""
        limit = self._section.max_sequences
        parts = [
            _Part(place, first, min(first + limit, request.n))
            for place, request in enumerate(requests)
            for first in range(0, request.n, limit)
        ]
        kind = {id(s): repr(s) for s in (r.sampling for r in requests)}
        parts.sort(key=lambda p: (kind[id(requests[p.place].sampling)], len(requests[p.place].prompt_ids), p.place))
        cache_tokens = self._section.cache_gib * 2**30 / _cache_bytes_per_token(self._model)
        batch: list[_Part] = []
        rows = 0
        for part in parts:
            request = requests[part.place]
            length = len(request.prompt_ids)
            more = part.end - part.first
            if batch and (
                requests[batch[0].place].sampling != request.sampling
                or rows + more > limit
                or (len(batch) + 1) * length > self._section.batch_tokens
                or (rows + more) * (length + request.sampling.max_new_tokens) > cache_tokens
            ):
                yield batch
                batch, rows = [], 0
            batch.append(part)
            rows += more
        if batch:
            yield batch

    def _decode(self, requests: Sequence[Request], batch: Sequence[_Part]) -> Iterator[_Row]:
        """Run one batch, yielding each row as it finishes."""
        sampling = requests[batch[0].place].sampling
        ids, mask = left_padded([requests[p.place].prompt_ids for p in batch], self._chat.pad_id, self._model.device)
        cache = new_cache(self._model.config, sampling.max_new_tokens)
        logits = self._forward(ids, mask, cache)
        rows = [
            _Row(p.place, k, random.Random(derive_seed(requests[p.place].seed, "sample", k)))
            for p in batch
            for k in range(p.first, p.end)
        ]
        spread = [number for number, p in enumerate(batch) for _ in range(p.first, p.end)]
        keep = torch.tensor(spread, device=mask.device)
        if spread != list(range(len(batch))):
            select_rows(cache, keep)
            logits, mask = logits[keep], mask[keep]
        while True:
            uniforms = torch.tensor([row.random.random() for row in rows], device=mask.device)
            chosen = draw(
                logits, uniforms, temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k
            )
            for row, token in zip(rows, chosen.tolist(), strict=True):
                if row.finish is None:
                    row.ids.append(token)
                    row.finish = self._finish(row.ids, sampling)
                    if row.finish is not None:
                        yield row
            running = [number for number, row in enumerate(rows) if row.finish is None]
            if not running:
                return
            if len(running) < _COMPACT * len(rows):
                keep = torch.tensor(running, device=mask.device)
                select_rows(cache, keep)
                mask, chosen = mask[keep], chosen[keep]
                rows = [rows[number] for number in running]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            logits = self._forward(chosen.unsqueeze(1), mask, cache)

    def _forward(self, ids: Tensor, mask: Tensor, cache: Any) -> Tensor:
        """Logits (rows, vocabulary) after the last of the new `ids` (rows, tokens), given everything in the cache."""
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        state_alone = self._cache_name == "cache_params"  # no position, and a mask for the prompt only
        later = state_alone and ids.shape[1] < mask.shape[1]
        with torch.inference_mode():
            output = self._model(
                input_ids=ids,
                attention_mask=None if later else mask,
                use_cache=True,
                **({} if state_alone else {"position_ids": positions}),
                **{self._cache_name: cache},
                **self._last_only,
            )
            logits: Tensor = output.logits[:, -1].clone()
        return logits

    def _finish(self, ids: list[int], sampling: Sampling) -> FinishReason | None:
        if ids[-1] in self._chat.end_ids:
            return "stop"
        if sampling.stop_strings:
            # A stop string's end has just been written, so it lies in a tail of at most one token a byte.
            tail = max(len(stop.encode()) for stop in sampling.stop_strings) + 8
            if cut_at_stop(self._chat.decode(ids[-tail:]), sampling.stop_strings)[1]:
                return "stop"
        return "length" if len(ids) >= sampling.max_new_tokens else None

    def _generation(self, request: Request, row: _Row) -> Generation:
        text, _ = cut_at_stop(self._chat.decode(row.ids), request.sampling.stop_strings)
        return Generation(request.id, row.index, tuple(row.ids), text, row.finish or "length")


def _cache_bytes_per_token(model: Any) -> int:
    config = model.config.get_text_config()
    varied = getattr(config, "is_heterogeneous", False)  # layers with heads of their own (Gemma 4)
    layers = config.per_layer_config if varied else [config] * config.num_hidden_layers
    return int(sum(2 * _keys_width(layer) for layer in layers) * model.dtype.itemsize)


def _keys_width(config: Any) -> int:
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int((getattr(config, "num_key_value_heads", None) or heads) * size)
