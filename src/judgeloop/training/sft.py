"""M1 = supervised fine-tuning of M0 on IFT and EFT rows, loss on the responses only. Runs in a child process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import SFTConfig, SFTTrainer

from judgeloop.chat import Chat
from judgeloop.config import SftSection
from judgeloop.errors import InputError
from judgeloop.records import SupervisedRow
from judgeloop.training import losses
from judgeloop.training.arguments import choose_precision, trainer_arguments
from judgeloop.training.data import SftExample, sft_examples
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
from judgeloop.training.weights import load_model, lora_config, save_model

IGNORED = -100


class ResponseSFTTrainer(ExactLoss, SFTTrainer):
    """TRL's SFTTrainer on rows that are tokenised already, weighted by token or by row."""

    def __init__(self, *args: Any, weighting: losses.Weighting, **kwargs: Any) -> None:
        self.weighting = weighting
        super().__init__(*args, **kwargs)
        use_response_head(self)

    def units(self, inputs: dict[str, Tensor]) -> int:
        if self.weighting == "row":
            return len(inputs["labels"])
        return int((inputs["labels"][:, 1:] != IGNORED).sum())

    def lengths(self, inputs: dict[str, Tensor]) -> list[int]:
        return [int(length) for length in inputs["attention_mask"].sum(dim=1)]

    def take(self, inputs: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
        return {name: tensor[rows] for name, tensor in inputs.items()}

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> Tensor:
        labels = inputs["labels"]
        log_probs = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], labels=labels, fused_lm_head=True
        ).log_probs
        total = self.units(inputs) if num_items_in_batch is None else num_items_in_batch
        return checked(losses.imitation(log_probs, labels[:, 1:] != IGNORED, self.weighting, total))


def labelled(example: SftExample) -> dict[str, list[int]]:
    """One dataset row: ids, and labels that are −100 everywhere but on the response."""
    return {
        "input_ids": example.prompt_ids + example.target_ids,
        "labels": [IGNORED] * len(example.prompt_ids) + example.target_ids,
    }


def train_sft(
    rows: Sequence[SupervisedRow],
    *,
    initial: Path,
    output: Path,
    chat: Chat,
    config: SftSection,
    seed: int,
    threads: int | None,
    on_progress: Progress,
    on_metrics: Metrics,
    trust_remote_code: bool = False,
) -> TrainingSummary:
    """Fine-tune the model in `initial` on the rows and write it to `output`, which must not exist.

    `on_progress(done, total)` counts steps; `on_metrics` gets each step's loss, grad_norm, learning_rate. Raises
    InputError where no row is left to train on, StageFailed (nothing written) where loss or gradient is not finite.
    """
    begun = time.perf_counter()
    data = sft_examples(rows, chat, config.max_length)
    if not data.examples:
        raise InputError(
            f"sft: no row left to train on of {len(rows)} (dropped: {data.dropped}); raise sft.max_length, "
            "or give more rows in seed_data.ift or seed_data.ranked"
        )
    if threads is not None:
        torch.set_num_threads(threads)
    precision = choose_precision(config.precision)
    keep_freed_memory()
    with scratch_folder(output) as scratch:
        model = load_model(initial, trust_remote_code=trust_remote_code)
        arguments = trainer_arguments(
            config, stage="sft", seed=seed, precision=precision, scratch=scratch, output=output
        )
        trainer = ResponseSFTTrainer(
            model,
            weighting=config.weighting,
            args=SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True}),
            train_dataset=Dataset.from_list([labelled(example) for example in data.examples]),
            processing_class=private_tokenizer(chat),
            peft_config=lora_config(config, model, dropout=config.lora.dropout),
        )
        reporter = Reporter(on_progress, on_metrics, "loss")
        fit(trainer, reporter)
        save_model(trainer.model, output, initial=initial, chat=chat, trust_remote_code=trust_remote_code)
    return TrainingSummary(
        rows=len(data.examples),
        dropped=data.dropped,
        steps=trainer.state.global_step,
        tokens=round(config.epochs * sum(example.tokens for example in data.examples)),
        target_tokens=round(config.epochs * sum(len(example.target_ids) for example in data.examples)),
        seconds=round(time.perf_counter() - begun, 3),
        first_loss=reporter.losses[0],
        last_loss=reporter.losses[-1],
        precision=precision,
        peak_memory_mib=round(peak_memory_mib(), 1),
    )
