"""TRL's DPOTrainer with our losses, and EFT rows beside the pairs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOTrainer
from trl.trainer import dpo_trainer

from judgeloop.config import TrainSection
from judgeloop.config.choices import LOSSES
from judgeloop.records import derive_seed
from judgeloop.training import collectives, distributed
from judgeloop.training.data import PairExample
from judgeloop.training.logprobs import TokenLossOfRows
from judgeloop.training.losses import PairTerms, PreferenceLoss
from judgeloop.training.order import BlockBatches, BlockOrder
from judgeloop.training.packs import IGNORED
from judgeloop.training.reference import ReferenceCache
from judgeloop.training.replay import Replay
from judgeloop.training.token_sums import desensitised, mean_token_nll, weighted_nll
from judgeloop.training.trainer import BACKWARD_TOKENS, ExactLoss, use_response_head

IMITATED = "imitated"


class _WithImitated:
    """TRL's collator, which leaves out columns that it does not know, and the column `imitated` if the rows have it."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = self._collate(rows)
        if rows and IMITATED in rows[0]:
            batch[IMITATED] = torch.tensor([float(row[IMITATED]) for row in rows])
        return batch


class PairTrainer(ExactLoss, DPOTrainer):
    """TRL's DPOTrainer on pairs that are tokenised already; the loss, and what goes with it, as the config says.

    A row may say in `imitated`, 1 or 0, whether `nll_weight` is for its chosen response too; without it is for all.
    The reference's log-probabilities are computed before the first step, or taken from `cache`. `replays` add rows of
    the seed to each step. `smoothing` replaces the config's label_smoothing if it was measured. `blocks`: the pairs
    of each step, if they are not `batch_size`.
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
        self.loss: PreferenceLoss = LOSSES[self.section.loss]
        self.replays = replays
        self.cache = cache
        self.blocks = blocks
        self.beside: list[tuple[Replay, dict[str, Tensor]]] = []  # replayed rows that go with this backward
        self.smoothing = self.section.label_smoothing if smoothing is None else smoothing
        with _no_hash_of_the_model():
            super().__init__(*args, **kwargs)
        self.data_collator: Any = _WithImitated(self.data_collator)

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """Add the reference's columns. TRL would keep them in the datasets cache on disk, and a stale file there is a
        wrong reference; ours are kept under a key of all they depend on. They are computed by the same code, in the
        same precision and batches as the policy's, so that the two agree before the first step. (Fresh adapters add
        nothing, so with LoRA too the policy before its first step is the reference.)"""
        self.shard()
        use_response_head(self, needed=self.loss.token_loss is not None)
        rows = list(dataset)
        batches = self.blocks or [
            list(range(start, min(start + batch_size, len(rows)))) for start in range(0, len(rows), batch_size)
        ]
        key = self.cache.key(rows, [len(batch) for batch in batches], self.args.bf16) if self.cache is not None else ""
        sums = collectives.from_main(self.cache.read(key, len(rows)) if self.cache is not None else None)
        if sums is None and self.loss.reference:
            sums = self._reference_sums(rows, batches).tolist()
            if self.cache is not None and distributed.is_main():
                self.cache.write(key, sums)
        elif sums is None:
            sums = [[0.0] * len(rows)] * 2
        self.ref_model = None
        return dataset.add_column("ref_chosen_logps", sums[0]).add_column("ref_rejected_logps", sums[1])

    def _reference_sums(self, rows: list[dict[str, Any]], batches: Sequence[list[int]]) -> Tensor:
        """Sums over the responses, (chosen and rejected, rows), in the form the loss takes them."""
        model = self.ref_model or self.model
        model.eval()
        sums = torch.zeros(2, len(rows))
        for batch in batches:
            inputs = self.data_collator([rows[i] for i in batch])
            for part in self.parts(inputs):
                taken = self.take(inputs, part or [0])  # [0]: only taking part, see `groups`
                with torch.no_grad(), self.accelerator.autocast():
                    found = self.sums(self.log_probs(model, taken), self.on_device(taken)["completion_mask"])
                if part:
                    sums[:, [batch[i] for i in part]] = found.view(2, -1).float().cpu()
        return collectives.added(sums.to(self.accelerator.device)).cpu()

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> BlockOrder:
        rows = len(self.train_dataset if train_dataset is None else train_dataset)
        return BlockOrder(rows, self.args.train_batch_size * self.args.gradient_accumulation_steps, self.args.seed)

    def order(self) -> BlockOrder | BlockBatches:
        """In which batches the pairs come, epoch by epoch."""
        return self._get_train_sampler() if self.blocks is None else BlockBatches(self.blocks, self.args.seed)

    def output(self, model: Any, inputs: dict[str, Tensor], **asked: Any) -> Any:
        """The model's log-probabilities of the response tokens, and what else is asked for."""
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, IGNORED)
        batch = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"], "labels": labels}
        return self.answered(model, batch, **asked)

    def log_probs(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """Log-probability of each response token, shape (2 × pairs, length − 1), chosen first; 0 at the prompt."""
        found: Tensor = self.output(model, inputs).log_probs
        return found

    def sums(self, log_probs: Tensor, completion_mask: Tensor) -> Tensor:
        """Log-probability of each response, chosen first."""
        if self.section.ld_alpha is None:
            return log_probs.sum(dim=1)
        return desensitised(log_probs, completion_mask[:, 1:], self.section.ld_alpha)

    def units(self, inputs: dict[str, Tensor]) -> int:
        return len(inputs["input_ids"]) // 2

    def lengths(self, inputs: dict[str, Tensor]) -> list[int]:
        chosen, rejected = inputs["attention_mask"].sum(dim=1).chunk(2)
        return [int(length) for length in chosen + rejected]

    def take(self, inputs: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
        pairs = self.units(inputs)
        both = [*rows, *(row + pairs for row in rows)]
        return {
            name: tensor[rows if len(tensor) == pairs else both]  # one a pair, or one a side
            for name, tensor in inputs.items()
        }

    def longest(self, inputs: dict[str, Tensor]) -> int:
        longest = super().longest
        return max(longest(batch) for batch in (inputs, *(batch for _, batch in self.beside)))

    def own_step(self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: float) -> Tensor:
        if not self.accelerator.sync_gradients:
            return super().own_step(model, inputs, num_items_in_batch)
        # With the step's last micro-batch; in its last backward, if there is room.
        beside = [(replay, replay.batch(replay.of(self.state.global_step))) for replay in self.replays]
        tokens = sum(self.lengths(inputs)) + sum(int(batch["attention_mask"].sum()) for _, batch in beside)
        one = distributed.processes() == 1 and len(self.parts(inputs)) == 1
        self.beside = beside if one and tokens <= BACKWARD_TOKENS else []
        loss = super().own_step(model, inputs, num_items_in_batch)
        for replay, batch in [] if self.beside else beside:
            loss = loss + self._replay_step(model, replay, batch)
        self.beside = []
        return loss

    def _replay_step(self, model: Any, replay: Replay, batch: dict[str, Tensor]) -> Tensor:
        """Loss and gradients of replayed rows by themselves."""
        model.train()
        total = torch.zeros((), device=self.accelerator.device)
        lengths = [int(length) for length in batch["attention_mask"].sum(dim=1)]
        for part in self.groups(lengths):
            taken = {name: tensor[part or [0]] for name, tensor in batch.items()}
            with self.compute_loss_context_manager():
                loss = self._replay_loss(model, replay, taken, len(lengths) if part else math.inf)
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _replay_loss(self, model: Any, replay: Replay, batch: dict[str, Tensor], rows: float) -> Tensor:
        named = ("input_ids", "attention_mask", "labels")
        log_probs = self.answered(model, {name: batch[name] for name in named}).log_probs
        weights = self.on_device({"weights": batch["weights"][:, 1:]})["weights"]
        loss = weighted_nll(log_probs, weights, rows)
        self.record({f"{replay.kind}_loss": loss.detach()}, 1.0)
        return loss * replay.weight

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> Tensor:
        pairs = self.units(inputs)
        total = pairs if num_items_in_batch is None else num_items_in_batch
        terms = self.terms(model, inputs)
        preference, logged = self.loss.compute(terms, self.section, self.smoothing)
        loss = preference.sum() / total
        if self.section.nll_weight and self.loss.nll_weight:
            nll = terms.chosen_nll
            if IMITATED in inputs:
                nll = nll * self.on_device({IMITATED: inputs[IMITATED]})[IMITATED]
            loss = loss + self.section.nll_weight * nll.sum() / total
        values = {"preference_loss": preference, self.loss.metric: preference, **logged}
        self.record({name: value.detach().mean() for name, value in values.items()}, pairs / total)
        for replay, batch in self.beside:
            loss = loss + self._replay_loss(model, replay, batch, len(batch["input_ids"]))
        return loss

    def terms(self, model: Any, inputs: dict[str, Tensor]) -> PairTerms:
        """What the loss is made from, with gradients; only the chosen rows go through the model if it asks for those
        alone."""
        pairs = self.units(inputs)
        if not self.loss.rejected:
            inputs = {name: tensor[:pairs] for name, tensor in inputs.items()}
        found = self.output(model, inputs, token_loss=self._token_loss(inputs))
        figures = {name: inputs[name] for name in ("completion_mask", "ref_chosen_logps", "ref_rejected_logps")}
        there = self.on_device(figures)
        mask = there["completion_mask"][:, 1:]
        sums, counts = self.sums(found.log_probs, there["completion_mask"]), mask.sum(dim=1)
        nll = mean_token_nll(found.log_probs, mask)[:pairs]
        nothing = torch.zeros_like(nll)
        losses = getattr(found, "token_losses", None)  # TRL's own head, of a model without a plain one, has none
        return PairTerms(
            chosen=sums[:pairs],
            rejected=sums[pairs:] if self.loss.rejected else nothing,
            reference_chosen=there["ref_chosen_logps"],
            reference_rejected=there["ref_rejected_logps"],
            chosen_tokens=counts[:pairs],
            rejected_tokens=counts[pairs:] if self.loss.rejected else nothing,
            chosen_nll=nll,
            token_loss=nothing if losses is None else -mean_token_nll(losses, mask)[pairs:],
        )

    def _token_loss(self, inputs: dict[str, Tensor]) -> TokenLossOfRows | None:
        """The loss's own loss of the rejected responses' tokens, to be asked of the model."""
        wanted = self.loss.token_loss
        if wanted is None:
            return None
        place = (self.state.global_step, int(inputs["input_ids"].sum()))  # the same after a resume
        seed = derive_seed(self.args.seed, self.loss.name, *place)
        return TokenLossOfRows(
            self.units(inputs), wanted.function, lambda tokens: wanted.draws(tokens, self.section, seed)
        )


@contextmanager
def _no_hash_of_the_model() -> Iterator[None]:
    """TRL reads every weight for a hash that names its own file of the reference's log-probabilities. Ours has another
    key, and a model that is to be in shards has no numbers yet."""
    original = dpo_trainer.hash_module
    dpo_trainer.hash_module = lambda _module: ""
    try:
        yield
    finally:
        dpo_trainer.hash_module = original


def columns(example: PairExample, imitate: Collection[str] | None = None) -> dict[str, Any]:
    """One dataset row, named as TRL's collator reads it; with the pairs to imitate, whether it is one of them."""
    return {
        "prompt_ids": example.prompt_ids,
        "chosen_ids": example.chosen_ids,
        "rejected_ids": example.rejected_ids,
        **({} if imitate is None else {IMITATED: int(example.id in imitate)}),
    }
