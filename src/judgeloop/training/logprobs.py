"""Log-probabilities of response tokens, for CPUs: no padding to speak of, no logits of prompt positions.

TRL gives a model a second way to be called, `model(…, labels=…, fused_lm_head=True)`, that returns the
log-probability of each label. Without Triton it projects every position, prompt and padding included, onto the
vocabulary, and its backward multiplies matrices in float32. `add_response_head` puts another implementation behind the
same call: sequences are sorted by length and run in groups of about `GROUP_TOKENS`, and only positions before a
response token are projected, in float32 from the log-softmax on. Which sequences share a batch stays what it was, so
nothing about the training changes but its speed and memory.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

GROUP_TOKENS = 1024
_LOGIT_BYTES = 256 * 2**20  # float32 logits held at once
# A model whose config sets one of these changes its logits after the projection; TRL's own head knows how.
_LOGIT_TRANSFORMS = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
    "lm_head_multiplier",
    "output_router_logits",
)


def length_groups(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Split row indices into groups, longest rows first, each of at most `budget` padded tokens (or one row)."""
    groups: list[list[int]] = []
    width = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not groups or (len(groups[-1]) + 1) * width > budget:
            groups.append([])
            width = lengths[index]
        groups[-1].append(index)
    return groups


def plain_head(model: PreTrainedModel) -> bool:
    """Whether the model's logits are its last hidden states times the output embedding, and nothing after that."""
    config = model.config.get_text_config()
    head = model.get_output_embeddings()
    return isinstance(head, torch.nn.Linear) and not any(getattr(config, name, None) for name in _LOGIT_TRANSFORMS)


def add_response_head(model: PreTrainedModel) -> None:
    """Let `model(input_ids=…, attention_mask=…, labels=…, fused_lm_head=True).log_probs` be made here.

    `log_probs` has shape (rows, length − 1): the natural-log probability of each next token, 0 where it has no label.
    Sequences are padded on the right, so causal attention never reaches padding and no mask is needed. Called without
    `fused_lm_head` the model does what it did. A model without a plain head is left as it is.
    """
    if not plain_head(model):
        return
    original = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, **kwargs: Any) -> Any:
        if not fused_lm_head:
            return original(*args, **kwargs)
        return FusedCausalLMOutput(
            log_probs=_response_log_probs(self, kwargs["input_ids"], kwargs["attention_mask"], kwargs["labels"])
        )

    model.forward = types.MethodType(forward, model)


def _response_log_probs(model: Any, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
    lengths = attention_mask.sum(dim=1).tolist()
    states = []
    rows = []
    columns = []
    for group in length_groups(lengths, GROUP_TOKENS):
        width = lengths[group[0]]
        index = torch.tensor(group, device=input_ids.device)
        hidden = model.base_model(input_ids=input_ids[index, :width], use_cache=False).last_hidden_state
        row, column = (labels[index, 1:width] != -100).nonzero(as_tuple=True)
        states.append(hidden[row, column])
        rows.append(index[row])
        columns.append(column)
    row, column = torch.cat(rows), torch.cat(columns)
    head = model.get_output_embeddings()
    found = _token_log_probs(torch.cat(states), head, labels[row, column + 1])
    empty = found.new_zeros(input_ids.shape[0], input_ids.shape[1] - 1)
    return empty.index_put((row, column), found)


def _token_log_probs(hidden: Tensor, head: torch.nn.Linear, targets: Tensor) -> Tensor:
    """Log-softmax of `head(hidden)` at the targets, some tokens at a time; the logits are made again for the gradient,
    which costs one more projection and keeps the peak at `_LOGIT_BYTES` (times three, with their gradient)."""
    size = max(1, _LOGIT_BYTES // (4 * head.out_features))
    parts = []
    for part, target in zip(hidden.split(size), targets.split(size), strict=True):
        if torch.is_grad_enabled():
            parts.append(checkpoint(_project, part, head, target, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(_project(part, head, target))
    return torch.cat(parts)


def _project(hidden: Tensor, head: torch.nn.Linear, targets: Tensor) -> Tensor:
    return -torch.nn.functional.cross_entropy(head(hidden).float(), targets, reduction="none")
