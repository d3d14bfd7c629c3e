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
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from judgeloop.training.cringe import cringe_tokens, gumbel
from judgeloop.training.packs import predictors, visible
from judgeloop.training.shared_prompts import can_share, pack, pays

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


def add_response_head(model: PreTrainedModel, *, one_group: bool = False) -> bool:
    """Let `model(input_ids=…, attention_mask=…, labels=…, fused_lm_head=True).log_probs` be made here.

    `log_probs` has shape (rows, length − 1): the natural-log probability of each next token, 0 where it has no label.
    Sequences are padded on the right, so causal attention never reaches padding and no mask is needed.
    `shared_prompts`: the rows are pairs, chosen first, and rows i and i + pairs begin with so many tokens of the same
    prompt; it is then computed once where that pays. `owners` and `position_ids` describe packs (`training.packs`).
    `one_group`: all sequences of a call run together, so that processes whose weights are in shards call every layer
    equally often. Called without `fused_lm_head` the model does what it did. A model without a plain head is left as
    it is, and the answer is False.
    """
    if not plain_head(model):
        return False
    original = model.forward
    budget = sys.maxsize if one_group else GROUP_TOKENS

    @functools.wraps(type(model).forward)
    def forward(
        self: Any,
        *args: Any,
        fused_lm_head: bool = False,
        shared_prompts: Sequence[int] = (),
        owners: Tensor | None = None,
        contrast: Contrast | None = None,
        **kwargs: Any,
    ) -> Any:
        if not fused_lm_head:
            return original(*args, **kwargs)
        inputs = kwargs["input_ids"], kwargs["attention_mask"].sum(dim=1).tolist(), kwargs["labels"]
        share = bool(shared_prompts) and pays(shared_prompts, inputs[1]) and can_share(self, max(inputs[1]))
        if owners is not None:
            place, hidden = _packed(self, budget, *inputs, owners, kwargs["position_ids"])
        else:
            shared = _shared(self, budget, *inputs[:2], shared_prompts) if share else None
            place, hidden = shared or _separate(self, budget, *inputs)
        return _response_output(self, place, hidden, inputs[2], contrast)

    model.forward = types.MethodType(forward, model)
    return True


@dataclass(frozen=True)
class Contrast:
    """Ask for the Cringe loss of every response token of the rows from `first_row` on: the contrast tokens are drawn
    from the `top_k` likeliest others under `seed`."""

    first_row: int
    top_k: int
    seed: int


@dataclass
class ResponseOutput(FusedCausalLMOutput):
    """`log_probs` (rows, length − 1), and `cringe` of the same shape where it was asked for; 0 where nothing is."""

    cringe: Tensor | None = None


def _separate(
    model: Any, budget: int, input_ids: Tensor, lengths: Sequence[int], labels: Tensor
) -> tuple[Tensor, Tensor]:
    """(sequence, place) of every response token, shape (2, tokens), and the last hidden states that predict them."""
    states = []
    places = []
    for group in length_groups(lengths, budget):
        width = lengths[group[0]]
        index = torch.tensor(group, device=input_ids.device)
        hidden = model.base_model(input_ids=input_ids[index, :width], use_cache=False).last_hidden_state
        row, column = (labels[index, 1:width] != -100).nonzero(as_tuple=True)
        states.append(hidden[row, column])
        places.append(torch.stack([index[row], column]))
    return torch.cat(places, dim=1), torch.cat(states)


def _packed(
    model: Any,
    budget: int,
    input_ids: Tensor,
    lengths: Sequence[int],
    labels: Tensor,
    owners: Tensor,
    positions: Tensor,
) -> tuple[Tensor, Tensor]:
    """As `_separate`, for sequences of several rows behind a common beginning."""
    sources = predictors(owners)
    states = []
    places = []
    for group in length_groups(lengths, budget):
        width = lengths[group[0]]
        index = torch.tensor(group, device=input_ids.device)
        own = owners[index, :width]
        # Rows that share nothing need no mask of their own.
        masks = {"attention_mask": visible(own), "position_ids": positions[index, :width]} if (own > 0).any() else {}
        hidden = model.base_model(input_ids=input_ids[index, :width], use_cache=False, **masks).last_hidden_state
        row, column = (labels[index, 1:width] != -100).nonzero(as_tuple=True)
        states.append(hidden[row, sources[index[row], column]])
        places.append(torch.stack([index[row], column]))
    return torch.cat(places, dim=1), torch.cat(states)


def _shared(
    model: Any, budget: int, input_ids: Tensor, lengths: Sequence[int], prompts: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """As `_separate`, with one copy of each pair's prompt."""
    pairs = len(prompts)
    totals = [lengths[i] + lengths[i + pairs] - prompts[i] for i in range(pairs)]
    states = []
    places = []
    for group in length_groups(totals, budget):
        packed = pack(input_ids, lengths, prompts, group)
        hidden = model.base_model(
            input_ids=packed.ids, attention_mask=packed.mask, position_ids=packed.positions, use_cache=False
        ).last_hidden_state
        states.append(hidden[packed.reads[0], packed.reads[1]])
        places.append(packed.writes)
    return torch.cat(places, dim=1), torch.cat(states)


def _response_output(
    model: Any, places: Tensor, hidden: Tensor, labels: Tensor, contrast: Contrast | None
) -> ResponseOutput:
    row, column = places
    head, targets = model.get_output_embeddings(), labels[row, column + 1]
    found = _by_token(_log_prob, head, hidden, targets)
    empty = found.new_zeros(labels.shape[0], labels.shape[1] - 1)
    log_probs = empty.index_put((row, column), found)
    if contrast is None:
        return ResponseOutput(log_probs=log_probs)
    theirs = row >= contrast.first_row
    noise = gumbel(int(theirs.sum()), contrast.top_k, contrast.seed).to(hidden.device)
    losses = _by_token(_cringe, head, hidden[theirs], targets[theirs], noise)
    return ResponseOutput(log_probs=log_probs, cringe=empty.index_put((row[theirs], column[theirs]), losses))


def _by_token(function: Callable[..., Tensor], head: torch.nn.Linear, hidden: Tensor, *inputs: Tensor) -> Tensor:
    """`function(head, hidden, *inputs)` some tokens at a time; the logits are made again for the gradient, which costs
    one more projection and keeps the peak at `_LOGIT_BYTES` (times three, with their gradient)."""
    size = max(1, _LOGIT_BYTES // (4 * head.out_features))
    parts = []
    for chunk in zip(hidden.split(size), *(tensor.split(size) for tensor in inputs), strict=True):
        if torch.is_grad_enabled():
            parts.append(checkpoint(function, head, *chunk, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(function(head, *chunk))
    return torch.cat(parts)


def _log_prob(head: torch.nn.Linear, hidden: Tensor, targets: Tensor) -> Tensor:
    return -torch.nn.functional.cross_entropy(head(hidden).float(), targets, reduction="none")


def _cringe(head: torch.nn.Linear, hidden: Tensor, rejected: Tensor, noise: Tensor) -> Tensor:
    return cringe_tokens(head(hidden).float(), rejected, noise)
