"""How likely each of a few given answers is after a prompt: for the expected score.

What prompts start with alike is computed once; logits are made only where an option is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from judgeloop.engines.base import OptionLogprobs, OptionRequest
from judgeloop.engines.batch import left_padded
from judgeloop.engines.cache import is_plain, new_cache, with_prefix
from judgeloop.engines.head import Float32Head, keeps_logits
from judgeloop.engines.option_trees import OptionTrees
from judgeloop.engines.text import common_prefix
from judgeloop.errors import InputError

_WORTH_SHARING = 8  # a shorter common prefix is not worth its own forward pass


@dataclass(frozen=True)
class _Reading:
    """One sequence to run: a prompt and the tokens that some of its options share before their last token."""

    place: int  # of the request in the list
    ids: tuple[int, ...]
    options: tuple[int, ...]  # which of the request's options are read at this sequence's end


def option_logprobs(
    model: Any, requests: Sequence[OptionRequest], *, trees: OptionTrees, pad_id: int, batch_tokens: int
) -> Iterator[OptionLogprobs]:
    """Yield each request's log-probabilities, as natural logs of the whole vocabulary's softmax in float32.

    What requests begin with alike is computed once: as far as any two do with a model that `trees` can read, else what
    all of them begin with. Options of one token are read at one position; an option of several tokens is run after its
    prompt and its tokens' log-probabilities are summed. Raises InputError where an option or a prompt is empty.
    """
    readings: list[_Reading] = []
    found: list[dict[int, float]] = []
    for place, request in enumerate(requests):
        if not request.prompt_ids or not request.options or not all(request.options):
            raise InputError(f"request {request.id}: its prompt and each of its options need at least one token")
        found.append({})
        groups: dict[tuple[int, ...], list[int]] = {}
        for number, option in enumerate(request.options):
            groups.setdefault(option[:-1], []).append(number)
        readings += [_Reading(place, request.prompt_ids + run, tuple(which)) for run, which in groups.items()]
    if not readings:
        return
    results = (
        _in_trees(trees, readings, requests, batch_tokens)
        if trees.can_read([reading.ids for reading in readings])
        else _in_batches(model, readings, requests, pad_id, batch_tokens)
    )
    for reading, values in results:
        found[reading.place].update(zip(reading.options, values, strict=True))
        request = requests[reading.place]
        if len(found[reading.place]) == len(request.options):
            logprobs = tuple(found[reading.place][number] for number in range(len(request.options)))
            found[reading.place] = {}
            yield OptionLogprobs(request.id, logprobs)


def _in_trees(
    trees: OptionTrees, readings: Sequence[_Reading], requests: Sequence[OptionRequest], batch_tokens: int
) -> Iterator[tuple[_Reading, list[float]]]:
    sequences = [reading.ids for reading in readings]
    options = [[requests[reading.place].options[number] for number in reading.options] for reading in readings]
    for number, values in trees.read(sequences, options, len(_common_prefix(sequences, requests)), batch_tokens):
        yield readings[number], values


def _in_batches(
    model: Any, readings: Sequence[_Reading], requests: Sequence[OptionRequest], pad_id: int, batch_tokens: int
) -> Iterator[tuple[_Reading, list[float]]]:
    with torch.inference_mode():
        prefix_ids = _common_prefix([reading.ids for reading in readings], requests) if is_plain(model.config) else ()
        prefix = _run_prefix(model, prefix_ids) if prefix_ids else None
    in_order = sorted(readings, key=lambda reading: (len(reading.ids), reading.place))
    for batch in _batches(in_order, len(prefix_ids), batch_tokens):
        values = _read(model, batch, requests, prefix, len(prefix_ids), pad_id)
        yield from zip(batch, values, strict=True)


def _common_prefix(sequences: Sequence[tuple[int, ...]], requests: Sequence[OptionRequest]) -> tuple[int, ...]:
    """The longest common start of all sequences that leaves every prompt's last token (where options are read) out."""
    limit = min(len(request.prompt_ids) for request in requests) - 1
    prefix = common_prefix(sequences)[:limit]
    return prefix if len(prefix) >= _WORTH_SHARING else ()


def _run_prefix(model: Any, ids: tuple[int, ...]) -> Any:
    cache = new_cache(model.config, 0)
    keep = {"logits_to_keep": 1} if keeps_logits(model) else {}
    model(input_ids=torch.tensor([ids], device=model.device), past_key_values=cache, use_cache=True, **keep)
    return cache


def _batches(readings: Sequence[_Reading], shared: int, budget: int) -> Iterator[list[_Reading]]:
    """Length-sorted batches of at most `budget` padded tokens, the shared prefix not counted."""
    batch: list[_Reading] = []
    for reading in readings:
        if batch and (len(batch) + 1) * (len(reading.ids) - shared) > budget:
            yield batch
            batch = []
        batch.append(reading)
    if batch:
        yield batch


def _read(
    model: Any, batch: Sequence[_Reading], requests: Sequence[OptionRequest], prefix: Any, shared: int, pad_id: int
) -> list[list[float]]:
    """Log-probability of each reading's options."""
    ids, mask = left_padded([reading.ids[shared:] for reading in batch], pad_id, model.device)
    mask = torch.cat([mask.new_ones(len(batch), shared), mask], dim=1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, shared:]
    options = [[requests[reading.place].options[number] for number in reading.options] for reading in batch]
    longest = max(len(option) for row in options for option in row)
    keep = {"logits_to_keep": longest} if keeps_logits(model) else {}
    with torch.inference_mode(), Float32Head(model):
        cached = {"past_key_values": with_prefix(model.config, prefix, len(batch), ids.shape[1])} if prefix else {}
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=bool(cached), **cached, **keep
        )
        logprobs = output.logits[:, -longest:].float().log_softmax(-1)
    # A row's last position predicts its options' last token, so an option's tokens are read from the end backwards.
    return [
        [sum(float(logprobs[number, k - len(option), token]) for k, token in enumerate(option)) for option in row]
        for number, row in enumerate(options)
    ]
