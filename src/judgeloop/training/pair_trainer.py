"""TRL's DPOTrainer with our losses, and EFT rows beside the pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOTrainer

from judgeloop.config import TrainSection
from judgeloop.records import derive_seed
from judgeloop.training import collectives, distributed, losses
from judgeloop.training.cringe import gate
from judgeloop.training.data import PairExample
from judgeloop.training.logprobs import Contrast
from judgeloop.training.order import BlockOrder
from judgeloop.training.packs import IGNORED
from judgeloop.training.pair_losses import PAIR_LOSSES, LogRatios, desensitised
from judgeloop.training.reference import ReferenceCache
from judgeloop.training.replay import Replay
from judgeloop.training.trainer import ExactLoss, checked, use_response_head


class PairTrainer(ExactLoss, DPOTrainer):
    """TRL's DPOTrainer on pairs that are tokenised already; the loss, and what goes with it, as the config says.

    The reference's log-probabilities are computed before the first step, or taken from `cache`. `replays` add rows of
    the seed to each step. `smoothing` stands in for the config's label_smoothing where it was measured. `blocks`: the
    pairs of each step, where they are not `batch_size`.
    """

    ref_model: Any

    def __init__(
        self,
        *args: Any,
        section: TrainSection | None = None,
        replays: Sequence[Replay] = (),
        cache: ReferenceCache | None = None,
        smoothing: float | None = None,
        blocks: Sequence[list[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.section = section or TrainSection()
        self.replays = replays
        self.cache = cache
        self.blocks = blocks
        self.share_prompts = self.section.loss != "sft_best"  # which never looks at the rejected response
        self.own_head = False
        self.smoothing = self.section.label_smoothing if smoothing is None else smoothing
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """Add the reference's columns. TRL would keep them in the datasets cache on disk, where a stale file is a
        wrong reference; ours stand under a key of all they depend on. Computed by the code, in the precision and in
        the batches that the policy's are, so that the two agree before the first step. (Fresh adapters add nothing, so
        with LoRA too the policy before its first step is the reference.)"""
        self.shard()
        self.own_head = use_response_head(self, needed=self.section.loss == "cringe")
        rows = list(dataset)
        batches = self.blocks or [
            list(range(start, min(start + batch_size, len(rows)))) for start in range(0, len(rows), batch_size)
        ]
        key = self.cache.key(rows, [len(batch) for batch in batches], self.args.bf16) if self.cache is not None else ""
        sums = collectives.from_main(self.cache.read(key, len(rows)) if self.cache is not None else None)
        if sums is None and self.section.loss in PAIR_LOSSES:
            sums = self._reference_sums(rows, batches).tolist()
            if self.cache is not None and distributed.is_main():
                self.cache.write(key, sums)
        elif sums is None:  # cringe and sft_best have no reference
            sums = [[0.0] * len(rows)] * 2
        self.ref_model = None
        return dataset.add_column("ref_chosen_logps", sums[0]).add_column("ref_rejected_logps", sums[1])

    def _reference_sums(self, rows: list[dict[str, Any]], batches: Sequence[list[int]]) -> Tensor:
        """Sums over the responses, (chosen and rejected, rows), in the form the loss takes them."""
        model = self.ref_model or self.model
        model.eval()
        sums = torch.zeros(2, len(rows))
        for batch in batches:
            inputs = self._prepare_inputs(self.data_collator([rows[i] for i in batch]))
            for part in self.parts(inputs):
                taken = self.take(inputs, part or [0])  # [0]: only taking part, see `groups`
                with torch.no_grad(), self.accelerator.autocast():
                    found = self.sums(self.log_probs(model, taken), taken)
                if part:
                    sums[:, [batch[i] for i in part]] = found.view(2, -1).float().cpu()
        return collectives.added(sums.to(self.accelerator.device)).cpu()

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> BlockOrder:
        rows = len(self.train_dataset if train_dataset is None else train_dataset)
        return BlockOrder(rows, self.args.train_batch_size * self.args.gradient_accumulation_steps, self.args.seed)

    def output(self, model: Any, inputs: dict[str, Tensor], **asked: Any) -> Any:
        """The model's log-probabilities of the response tokens, and the Cringe losses where they are asked for."""
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, IGNORED)
        if self.own_head and self.share_prompts:
            # Every response has a token, so its first one marks the prompt's end; both sides have the same prompt.
            asked["shared_prompts"] = inputs["completion_mask"].argmax(dim=1).chunk(2)[0].tolist()
        return model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=labels,
            fused_lm_head=True,
            **asked,
        )

    def log_probs(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """Log-probability of each response token, shape (2 × pairs, length − 1), chosen first; 0 at the prompt."""
        found: Tensor = self.output(model, inputs).log_probs
        return found

    def sums(self, log_probs: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """Log-probability of each response, chosen first."""
        if self.section.ld_alpha is None:
            return log_probs.sum(dim=1)
        return desensitised(log_probs, inputs["completion_mask"][:, 1:], self.section.ld_alpha)

    def units(self, inputs: dict[str, Tensor]) -> int:
        return len(inputs["input_ids"]) // 2

    def lengths(self, inputs: dict[str, Tensor]) -> list[int]:
        chosen, rejected = inputs["attention_mask"].sum(dim=1).chunk(2)
        return [int(length) for length in chosen + rejected]

    def take(self, inputs: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
        pairs = self.units(inputs)
        both = [*rows, *(row + pairs for row in rows)]
        return {
            name: tensor[rows if name.startswith("ref_") else both]  # one a pair, or one a side
            for name, tensor in inputs.items()
        }

    def own_step(self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: float) -> Tensor:
        loss = super().own_step(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:  # with the step's last micro-batch
            for replay in self.replays:
                loss = loss + self._replay_step(model, replay)
        return loss

    def _replay_step(self, model: Any, replay: Replay) -> Tensor:
        batch = self._prepare_inputs(replay.batch(replay.of(self.state.global_step)))
        model.train()
        total = torch.zeros((), device=self.accelerator.device)
        lengths = [int(length) for length in batch["attention_mask"].sum(dim=1)]
        named = ("input_ids", "attention_mask", "labels")
        for part in self.groups(lengths):
            taken = {name: tensor[part or [0]] for name, tensor in batch.items()}
            with self.compute_loss_context_manager():
                log_probs = model(**{name: taken[name] for name in named}, fused_lm_head=True).log_probs
                loss = losses.weighted_nll(log_probs, taken["weights"][:, 1:], len(lengths) if part else math.inf)
            self.accelerator.backward(checked(loss) * replay.weight)
            self.record({f"{replay.kind}_loss": loss.detach()}, 1.0)
            total += loss.detach() * replay.weight
        return total

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> Tensor:
        pairs = self.units(inputs)
        total = pairs if num_items_in_batch is None else num_items_in_batch
        if self.section.loss == "sft_best":
            preference, values = self._best_only(model, inputs)
        elif self.section.loss == "cringe":
            preference, values = self._cringe(model, inputs)
        else:
            preference, values = self._preference(model, inputs)
        loss = preference.sum() / total
        if self.section.nll_weight and self.section.loss in PAIR_LOSSES:
            loss = loss + self.section.nll_weight * values["chosen_nll"].sum() / total
        name = "dpo_loss" if self.section.loss == "dpo" else "preference_loss"
        self.record({k: v.detach().mean() for k, v in {name: preference, **values}.items()}, pairs / total)
        return checked(loss)

    def _preference(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of each pair, and what to log; `chosen_nll` with its gradient."""
        log_probs = self.log_probs(model, inputs)
        chosen, rejected = self.sums(log_probs, inputs).chunk(2)
        counts = inputs["completion_mask"][:, 1:].sum(dim=1).chunk(2)
        ratios = LogRatios(chosen - inputs["ref_chosen_logps"], rejected - inputs["ref_rejected_logps"], *counts)
        preference = PAIR_LOSSES[self.section.loss](ratios, self.section.beta, self.smoothing)
        nll = losses.mean_token_nll(log_probs, inputs["completion_mask"][:, 1:]).chunk(2)[0]
        margin = self.section.beta * ratios.margin
        return preference, {
            "chosen_nll": nll,
            "reward_margin": margin,
            "reward_accuracy": (margin > 0).float(),
            "chosen_logps": chosen,
            "rejected_logps": rejected,
        }

    def _cringe(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """CE(chosen) + α · g · Cringe(rejected), both means over a response's tokens. Pairwise Cringe (arXiv
        2312.16682), section 3; plain Cringe (arXiv 2211.05826) has g = 1."""
        options, pairs = self.section.cringe, self.units(inputs)
        place = (self.state.global_step, int(inputs["input_ids"].sum()))  # the same after a resume
        seed = derive_seed(self.args.seed, "cringe", *place)
        found = self.output(model, inputs, contrast=Contrast(pairs, options.top_k, seed))
        mask = inputs["completion_mask"][:, 1:]
        chosen, rejected = found.log_probs.sum(dim=1).chunk(2)
        nll = losses.mean_token_nll(found.log_probs, mask).chunk(2)[0]
        contrast = -losses.mean_token_nll(found.cringe, mask).chunk(2)[1]
        opened = gate(chosen, rejected, options.bias, options.temperature) if options.pairwise else torch.ones_like(nll)
        return nll + options.weight * opened * contrast, {
            "chosen_nll": nll,
            "cringe": contrast,
            "gate": opened,
            "chosen_logps": chosen,
            "rejected_logps": rejected,
        }

    def _best_only(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean token NLL of the chosen response: SFT on the best, the second way of the seed's paper."""
        best = {name: tensor[: self.units(inputs)] for name, tensor in inputs.items()}
        log_probs = self.log_probs(model, best)
        nll = losses.mean_token_nll(log_probs, best["completion_mask"][:, 1:])
        return nll, {"chosen_nll": nll, "chosen_logps": log_probs.sum(dim=1)}


def columns(example: PairExample) -> dict[str, list[int]]:
    """One dataset row, named as TRL's collator reads it."""
    return {
        "prompt_ids": example.prompt_ids,
        "chosen_ids": example.chosen_ids,
        "rejected_ids": example.rejected_ids,
    }
