"""M_{t+1} = preference training of M_t on its pairs, with M_t as the reference. Runs in a child process."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOConfig, DPOTrainer

from judgeloop.chat import Chat
from judgeloop.config import TrainSection
from judgeloop.errors import InputError
from judgeloop.records import PreferencePair, derive_seed
from judgeloop.training import losses
from judgeloop.training.arguments import choose_precision, trainer_arguments
from judgeloop.training.data import PairExample, pair_examples
from judgeloop.training.order import BlockOrder
from judgeloop.training.summary import TrainingSummary
from judgeloop.training.trainer import (
    ExactLoss,
    Metrics,
    Progress,
    Reporter,
    checked,
    fit,
    keep_freed_memory,
    peak_memory_mib,
    private_tokenizer,
    scratch_folder,
    use_response_head,
)
from judgeloop.training.weights import load_model, lora_config, save_model, without_dropout


class PairTrainer(ExactLoss, DPOTrainer):
    """TRL's DPOTrainer on pairs that are tokenised already, the reference's log-probabilities held in memory."""

    ref_model: Any

    def __init__(self, *args: Any, nll_weight: float = 0.0, **kwargs: Any) -> None:
        self.nll_weight = nll_weight
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """Add the reference's columns. TRL would keep them in the datasets cache on disk, where a stale file is a
        wrong reference; here they live as long as the trainer. Computed by the code, in the precision and in the
        batches that the policy's are, so that the two agree before the first step. (Fresh adapters add nothing, so
        with LoRA too the policy before its first step is the reference.)"""
        use_response_head(self)
        model = self.ref_model or self.model
        model.eval()
        rows = list(dataset)
        sums = torch.zeros(2, len(rows))
        for start in range(0, len(rows), batch_size):
            inputs = self._prepare_inputs(self.data_collator(rows[start : start + batch_size]))
            for part in self.parts(inputs):
                with torch.no_grad(), self.accelerator.autocast():
                    found = self.log_probs(model, self.take(inputs, part)).sum(dim=1)
                sums[:, [start + i for i in part]] = found.view(2, -1).float().cpu()
        self.ref_model = None
        chosen, rejected = sums.tolist()
        return dataset.add_column("ref_chosen_logps", chosen).add_column("ref_rejected_logps", rejected)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> BlockOrder:
        rows = len(self.train_dataset if train_dataset is None else train_dataset)
        return BlockOrder(rows, self.args.train_batch_size * self.args.gradient_accumulation_steps, self.args.seed)

    def log_probs(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """Log-probability of each response token, shape (2 × pairs, length − 1), chosen first; 0 at the prompt."""
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
        outputs = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], labels=labels, fused_lm_head=True
        )
        found: Tensor = outputs.log_probs
        return found

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

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> Tensor:
        log_probs = self.log_probs(model, inputs)
        chosen, rejected = log_probs.sum(dim=1).chunk(2)
        reference = inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]
        preference = losses.dpo(chosen, rejected, *reference, self.beta)
        nll = losses.mean_token_nll(log_probs, inputs["completion_mask"][:, 1:]).chunk(2)[0]
        pairs = self.units(inputs)
        total = pairs if num_items_in_batch is None else num_items_in_batch
        loss = preference.sum() / total
        if self.nll_weight:
            loss = loss + self.nll_weight * nll.sum() / total
        with torch.no_grad():
            margin = self.beta * ((chosen - reference[0]) - (rejected - reference[1]))
            values = {
                "dpo_loss": preference,
                "chosen_nll": nll,
                "reward_margin": margin,
                "reward_accuracy": (margin > 0).float(),
                "chosen_logps": chosen,
                "rejected_logps": rejected,
            }
            self.record({name: value.mean() for name, value in values.items()}, pairs / total)
        return checked(loss)


def columns(example: PairExample) -> dict[str, list[int]]:
    """One dataset row, named as TRL's collator reads it."""
    return {
        "prompt_ids": example.prompt_ids,
        "chosen_ids": example.chosen_ids,
        "rejected_ids": example.rejected_ids,
    }


def train_dpo(
    pairs: Sequence[PreferencePair],
    *,
    initial: Path,
    reference: Path,
    output: Path,
    chat: Chat,
    token_ids: Mapping[str, Sequence[int]],
    config: TrainSection,
    seed: int,
    threads: int | None,
    on_progress: Progress,
    on_metrics: Metrics,
    trust_remote_code: bool = False,
) -> TrainingSummary:
    """Train the model in `initial` on the pairs against the model in `reference` and write it to `output`, which must
    not exist.

    `token_ids`: candidate id → the ids it was generated with, see `pair_examples`. `on_progress(done, total)` counts
    steps; `on_metrics` gets each step's loss, dpo_loss, chosen_nll, reward_margin, reward_accuracy, chosen_logps,
    rejected_logps (nats a response, means over the batch), grad_norm, learning_rate. Dropout is off throughout.
    Raises InputError where no pair is left, StageFailed (nothing written) where loss or gradient is not finite.
    """
    begun = time.perf_counter()
    if not pairs:
        raise InputError(
            "no preference pair to train on; lower pairs.margin, or raise candidates.count or prompts.count"
        )
    data = pair_examples(pairs, chat, config.max_length, token_ids)
    if not data.examples:
        raise InputError(
            f"no preference pair left of {len(pairs)} (dropped: {data.dropped}); raise train.max_length, "
            "candidates.count or prompts.count, or lower pairs.margin"
        )
    if threads is not None:
        torch.set_num_threads(threads)
    shuffled = list(data.examples)
    random.Random(derive_seed(seed, "order of pairs")).shuffle(shuffled)
    precision = choose_precision(config.precision)
    keep_freed_memory()
    with scratch_folder(output) as scratch:
        model = without_dropout(load_model(initial, trust_remote_code=trust_remote_code))
        same = reference.resolve() == initial.resolve()
        arguments = trainer_arguments(
            config, stage="dpo", seed=seed, precision=precision, scratch=scratch, output=output
        )
        trainer = PairTrainer(
            model,
            None if same else load_model(reference, trust_remote_code=trust_remote_code),
            nll_weight=config.nll_weight,
            args=DPOConfig(**arguments, beta=config.beta, loss_type=["sigmoid"], precompute_ref_log_probs=True),
            train_dataset=Dataset.from_list([columns(example) for example in shuffled]),
            processing_class=private_tokenizer(chat),
            peft_config=lora_config(config, model, dropout=0.0),
        )
        reporter = Reporter(on_progress, on_metrics, "dpo_loss")
        fit(trainer, reporter)
        save_model(trainer.model, output, initial=initial, chat=chat, trust_remote_code=trust_remote_code)
    responses = sum(len(example.chosen_ids) + len(example.rejected_ids) for example in data.examples)
    return TrainingSummary(
        rows=len(data.examples),
        dropped=data.dropped,
        steps=trainer.state.global_step,
        tokens=round(config.epochs * sum(example.tokens for example in data.examples)),
        target_tokens=round(config.epochs * responses),
        seconds=round(time.perf_counter() - begun, 3),
        first_loss=reporter.losses[0],
        last_loss=reporter.losses[-1],
        precision=precision,
        peak_memory_mib=round(peak_memory_mib(), 1),
        responses_from_text=data.from_text,
    )
