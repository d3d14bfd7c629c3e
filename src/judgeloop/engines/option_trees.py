"""Read options after many prompts that begin alike: rubric, prompt and response are each computed once.

All sequences are one token tree, of which the model runs a part at a time as one row without padding; see
`tree_attention`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from judgeloop.engines.gated_mlp import faster, gated_mlps
from judgeloop.engines.head import Float32Head, keeps_logits
from judgeloop.models.token_tree import TokenTree, trees
from judgeloop.models.tree_attention import UnknownAttention, shortest_window, tree_attention
from judgeloop.models.tree_plan import TreePlan

Ids = tuple[int, ...]

_TOKENS = 2048  # of one row: more leave the processor's cache between two operations, fewer fill it less well
_COMPARED = 16  # tokens at least, so that there is something to tell apart
_DEVIATION = {torch.float32: 1e-3, torch.bfloat16: 0.1}  # of logits, as a share of their spread; others are not run


class OptionTrees:
    """Reads options with one model, if its architecture allows: decided by what it declares, and by one comparison of
    a tree with the same sequences run one by one."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._mlps = gated_mlps(model) if model.device.type == "cpu" else {}
        self._last = f".{model.config.get_text_config().num_hidden_layers - 1}."
        self._equal: dict[bool, bool] = {}  # by whether sequences are longer than the shortest window

    def can_read(self, sequences: Sequence[Ids]) -> bool:
        """Does a tree give the sequences what they get alone? On a CPU only: a GPU takes larger batches."""
        model, window = self._model, shortest_window(self._model)
        if window is None or model.device.type != "cpu" or model.dtype not in _DEVIATION or not keeps_logits(model):
            return False
        longest = max(sequences, key=len)
        beyond = len(longest) > window
        if beyond not in self._equal:
            self._equal[beyond] = self._compare(longest)
        return self._equal[beyond]

    def read(
        self, sequences: Sequence[Ids], options: Sequence[Sequence[Ids]], prefix: int, budget: int
    ) -> Iterator[tuple[int, list[float]]]:
        """Yield each sequence's place and the log-probabilities of its options, in the order of sorted sequences.

        A sequence ends where the last token of its options, all of one length, is predicted. The first `prefix` tokens
        are those of all sequences, and nothing is read there; a row has at most `budget` tokens (or one sequence).
        """
        order = sorted(range(len(sequences)), key=lambda place: sequences[place])
        ordered = [sequences[place] for place in order]
        budget = min(budget, _TOKENS)
        several = len(list(itertools.islice(trees(ordered, 0, budget), 2))) > 1
        before = self._run_prefix(ordered[0][:prefix]) if several and prefix else None
        for tree, places in trees(ordered, prefix if several else 0, budget):
            asked = [options[order[place]] for place in places]
            for place, values in zip(places, self._values(tree, asked, before), strict=True):
                yield order[place], values

    def _values(self, tree: TokenTree, asked: Sequence[Sequence[Ids]], before: Any) -> list[list[float]]:
        reads = [path[-len(options[0]) :] for path, options in zip(tree.paths, asked, strict=True)]
        kept = sorted({place for read in reads for place in read})
        row = {place: number for number, place in enumerate(kept)}
        logits = self._run(tree, [place - tree.prefix for place in kept], TreePlan(tree, self._model.device, before))
        totals = logits.logsumexp(-1)
        found = []
        for read, options in zip(reads, asked, strict=True):
            rows = torch.tensor([row[place] for place in read])
            tokens = torch.tensor(options)  # (options, tokens)
            found.append((logits[rows, tokens] - totals[rows]).sum(-1).tolist())
        return found

    def _run_prefix(self, ids: Ids) -> Any:
        tree = TokenTree(0)
        tree.add(ids, 0)
        plan = TreePlan(tree, self._model.device, keep=True)
        self._run(tree, [len(ids) - 1], plan)
        return plan.kept

    def _run(self, tree: TokenTree, kept: Sequence[int], plan: TreePlan) -> Tensor:
        """Logits (kept, vocabulary) in float32 at those places of the row."""
        model, places = self._model, torch.tensor(kept, device=self._model.device)
        with torch.inference_mode(), Float32Head(model), tree_attention(model), faster(self._mlps, self._last, places):
            output = model(
                input_ids=torch.tensor([tree.ids], device=model.device),
                position_ids=torch.tensor([tree.positions], device=model.device),
                use_cache=False,
                logits_to_keep=places,
                tree_plan=plan,
            )
        logits: Tensor = output.logits[0].float()
        return logits

    def _compare(self, ids: Ids) -> bool:
        """Do two sequences that part half-way get the logits, each after its last token, that they get alone?"""
        ids *= -(-_COMPARED // len(ids))
        half = len(ids) // 2
        pair = sorted([ids, ids[:half] + ids[half // 2 :]])
        ((tree, _),) = trees(pair, 0, 2 * len(ids))
        try:
            found = self._run(tree, [path[-1] for path in tree.paths], TreePlan(tree, self._model.device))
        except (UnknownAttention, KeyError, RuntimeError, TypeError, ValueError):
            return False
        with torch.inference_mode(), Float32Head(self._model):
            alone = [
                self._model(input_ids=torch.tensor([one], device=self._model.device), logits_to_keep=1, use_cache=False)
                for one in pair
            ]
        expected = torch.cat([output.logits[0, -1:].float() for output in alone])
        spread = expected - expected.mean(-1, keepdim=True)
        return bool((found - expected).norm() <= _DEVIATION[self._model.dtype] * spread.norm())
