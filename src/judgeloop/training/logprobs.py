"""Log-probabilities of response tokens, for CPUs: hardly any padding, no logits of prompt positions.

TRL gives a model a second way to be called, `model(…, labels=…, fused_lm_head=True)`, that returns the
log-probability of each label. Without Triton it projects every position, prompt and padding included, onto the
vocabulary, and its backward multiplies matrices in float32. `add_response_head` lets another implementation answer the
same call: the sequences are one token tree, in which what they begin with alike is there once, or, if the model takes
none, are sorted by length and run in groups of about `GROUP_TOKENS`; and only positions before a response token are
projected, in float32 from the log-softmax on. Which sequences share a batch stays what it was, so nothing about the
training changes but its speed and memory.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from judgeloop.models.host import to_device
from judgeloop.models.model_parts import body
from judgeloop.models.token_tree import trees
from judgeloop.models.tree_attention import hidden_states, tree_limit
from judgeloop.training.label_logprobs import label_log_probs
from judgeloop.training.packs import IGNORED, SHARED

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
    Sequences are padded on the right. Those that begin alike go through the model as one token tree, every token once,
    if it attends in a way that can be replaced (`tree_limit`); `owners` describe packs (`training.packs`), which need
    that. Other models run sequences of like length together; causal attention never reaches padding.
    `one_group`: all sequences of a call run together, so that processes whose weights are in shards call every layer
    equally often. `host`: the same batch where it can be read without waiting for the device. Called without
    `fused_lm_head` the model does what it did. A model without a plain head is left as it is, and the answer is False.
    """
    if not plain_head(model):
        return False
    original = model.forward
    budget = sys.maxsize if one_group else GROUP_TOKENS
    limit = tree_limit(model)

    @functools.wraps(type(model).forward)
    def forward(
        self: Any,
        *args: Any,
        fused_lm_head: bool = False,
        owners: Tensor | None = None,
        host: HostBatch | None = None,
        token_loss: TokenLossOfRows | None = None,
        **kwargs: Any,
    ) -> Any:
        if not fused_lm_head:
            return original(*args, **kwargs)
        read = host.tensors if host is not None else {**kwargs, "owners": owners}
        lengths = read["attention_mask"].sum(dim=1).tolist()
        if max(lengths) <= limit:
            place, hidden = _tree(self, read["input_ids"], lengths, read["labels"], read.get("owners"))
        else:
            place, hidden = _separate(self, budget, kwargs["input_ids"], lengths, read["labels"])
        return _response_output(self, place, hidden, kwargs["labels"], token_loss)

    model.forward = types.MethodType(forward, model)
    return True


@dataclass(frozen=True)
class HostBatch:
    """A batch (ids, mask, labels, owners) in host memory; not a dict, which FSDP would move to the device."""

    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class TokenLossOfRows:
    """Ask for a loss of every response token of the rows from `first_row` on: `function(logits, ids, draws)`, with the
    numbers that `draws(tokens)` gives (see `losses.TokenLoss`)."""

    first_row: int
    function: Callable[[Tensor, Tensor, Tensor], Tensor]
    draws: Callable[[int], Tensor]


@dataclass
class ResponseOutput(FusedCausalLMOutput):
    """`log_probs` (rows, length − 1), and `token_losses` of the same shape if asked for; 0 where no token is scored."""

    token_losses: Tensor | None = None


def _separate(
    model: Any, budget: int, input_ids: Tensor, lengths: Sequence[int], labels: Tensor
) -> tuple[Tensor, Tensor]:
    """(sequence, place) of every response token, shape (2, tokens), where the labels are, and the last hidden states
    that predict them."""
    states = []
    places = []
    for group in length_groups(lengths, budget):
        width = lengths[group[0]]
        index = torch.tensor(group, device=labels.device)
        ids = input_ids[to_device(index, input_ids.device), :width]
        hidden = body(model)(input_ids=ids, use_cache=False).last_hidden_state
        row, column = (labels[index, 1:width] != IGNORED).nonzero(as_tuple=True)
        states.append(hidden[to_device(row, hidden.device), to_device(column, hidden.device)])
        places.append(torch.stack([index[row], column]))
    return torch.cat(places, dim=1), torch.cat(states)


def _tree(
    model: Any, input_ids: Tensor, lengths: Sequence[int], labels: Tensor, owners: Tensor | None
) -> tuple[Tensor, Tensor]:
    """As `_separate`, all sequences as one token tree. `owners` say which rows the sequences of a pack hold."""
    sequences: list[list[int]] = []
    reads: list[tuple[int, int]] = []  # (sequence, place) of the token that predicts
    writes: list[tuple[int, int]] = []
    for row, length in enumerate(lengths):
        ids, wanted = input_ids[row, :length].tolist(), (labels[row, :length] != IGNORED).tolist()
        owner = [SHARED] * length if owners is None else owners[row, :length].tolist()
        for number in sorted(set(owner) - {SHARED}) or [SHARED]:
            columns = [column for column in range(length) if owner[column] in (SHARED, number)]
            for place, column in enumerate(columns):
                if place and wanted[column] and owner[column] == number:
                    reads.append((len(sequences), place - 1))
                    writes.append((row, column - 1))
            sequences.append([ids[column] for column in columns])
    order = sorted(range(len(sequences)), key=lambda number: sequences[number])
    ((tree, _),) = trees([sequences[number] for number in order], 0, sys.maxsize)
    paths = dict(zip(order, tree.paths, strict=True))
    hidden = hidden_states(model, tree)
    flat = torch.tensor([paths[sequence][place] for sequence, place in reads], dtype=torch.long)
    return torch.tensor(writes).view(-1, 2).T, hidden.index_select(0, to_device(flat, hidden.device))


def _response_output(
    model: Any, places: Tensor, hidden: Tensor, labels: Tensor, token_loss: TokenLossOfRows | None
) -> ResponseOutput:
    row, column = to_device(places, hidden.device)
    head, targets = model.get_output_embeddings(), labels[row, column + 1]
    found = _by_token(_log_prob, head, hidden, targets)
    empty = found.new_zeros(labels.shape[0], labels.shape[1] - 1)
    log_probs = empty.index_put((row, column), found)
    if token_loss is None:
        return ResponseOutput(log_probs=log_probs)
    chosen = (places[0] >= token_loss.first_row).nonzero().squeeze(1)
    theirs = to_device(chosen, hidden.device)
    draws = to_device(token_loss.draws(len(chosen)), hidden.device)
    function = functools.partial(_from_logits, token_loss.function)
    losses = _by_token(function, head, hidden[theirs], targets[theirs], draws)
    return ResponseOutput(log_probs=log_probs, token_losses=empty.index_put((row[theirs], column[theirs]), losses))


def _by_token(function: Callable[..., Tensor], head: torch.nn.Linear, hidden: Tensor, *inputs: Tensor) -> Tensor:
    """`function(head, hidden, *inputs)` of all tokens at once, if their logits have room in `_LOGIT_BYTES`. Else some
    tokens at a time, and the logits are made again for the gradient: one more projection instead of more memory."""
    size = max(1, _LOGIT_BYTES // (4 * head.out_features))
    if len(hidden) <= size or not torch.is_grad_enabled():
        return torch.cat([function(head, *part) for part in _parts(size, hidden, *inputs)])
    return torch.cat(
        [
            checkpoint(function, head, *part, use_reentrant=False, preserve_rng_state=False)
            for part in _parts(size, hidden, *inputs)
        ]
    )


def _parts(size: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(tensor.split(size) for tensor in tensors), strict=True)


def _log_prob(head: torch.nn.Linear, hidden: Tensor, targets: Tensor) -> Tensor:
    if type(head) is torch.nn.Linear and head.bias is None:
        return label_log_probs(hidden, head.weight, targets)
    return -torch.nn.functional.cross_entropy(head(hidden).float(), targets, reduction="none")


def _from_logits(
    function: Callable[[Tensor, Tensor, Tensor], Tensor],
    head: torch.nn.Linear,
    hidden: Tensor,
    ids: Tensor,
    draws: Tensor,
) -> Tensor:
    return function(head(hidden).float(), ids, draws)
