"""M1 = supervised fine-tuning of M0 on IFT and EFT rows, loss on the responses only. Runs in a child process."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import SFTConfig, SFTTrainer

from judgeloop.config import SftSection
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.contents import content_hash
from judgeloop.models.hardware import require_gpu_settings
from judgeloop.models.tree_attention import tree_limit
from judgeloop.records import SupervisedRow, derive_seed
from judgeloop.training import collectives, distributed
from judgeloop.training.arguments import choose_precision, settings_that_matter, trainer_arguments
from judgeloop.training.checkpoints import checkpoint_folder, training_key
from judgeloop.training.data import ScoreAlone, sft_examples
from judgeloop.training.finished import record_finished
from judgeloop.training.logprobs import plain_head
from judgeloop.training.memory import keep_freed_memory, peak_memory_mib
from judgeloop.training.order import token_blocks
from judgeloop.training.packs import collate, packs
from judgeloop.training.summary import TrainingSummary
from judgeloop.training.token_sums import weighted_nll
from judgeloop.training.trainer import (
    ExactLoss,
    Metrics,
    Progress,
    Reporter,
    fit,
    private_tokenizer,
    use_response_head,
)
from judgeloop.training.weights import (
    keeps_adapter,
    load_policy,
    lora_config,
    save_model,
    set_adapter_aside,
    with_dropout,
)


class ResponseSFTTrainer(ExactLoss, SFTTrainer):
    """TRL's SFTTrainer on rows that are tokenised already, weighted by token or by row, packed or not."""

    def __init__(
        self, *args: Any, packed: bool = False, blocks: Sequence[list[int]] | None = None, **kwargs: Any
    ) -> None:
        self.packed = packed
        self.blocks = blocks
        super().__init__(*args, **kwargs)
        experts = self.model.config.get_text_config()
        if hasattr(experts, "output_router_logits"):
            experts.output_router_logits = False  # TRL asks for the router's loss, which is no part of this one
        self.shard()
        use_response_head(self, needed=packed)

    def units(self, inputs: dict[str, Tensor]) -> float:
        """Rows or target tokens: the weights say which, and what each counts."""
        return round(float(inputs["weights"].double().sum()), 6)

    def lengths(self, inputs: dict[str, Tensor]) -> list[int]:
        return [int(length) for length in inputs["attention_mask"].sum(dim=1)]

    def take(self, inputs: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
        return {name: tensor[rows] for name, tensor in inputs.items()}

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: float | None = None,
    ) -> Tensor:
        names = ["input_ids", "attention_mask", "labels", *(["owners"] if self.packed else [])]
        log_probs = self.answered(model, {name: inputs[name] for name in names}).log_probs
        total = self.units(inputs) if num_items_in_batch is None else num_items_in_batch
        weights = self.on_device({"weights": inputs["weights"][:, 1:]})["weights"]
        return weighted_nll(log_probs, weights, total)


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
    score_alone: ScoreAlone | None = None,
    trust_remote_code: bool = False,
) -> TrainingSummary:
    """Fine-tune the model in `initial` on the rows and write it to `output`, which must not exist.

    `score_alone`: of EFT rows only the score is learnt, if `config.eft_loss` says so.
    `on_progress(done, total)` counts steps; `on_metrics` gets each step's loss, grad_norm, learning_rate. Raises
    InputError if no row is left to train on, StageFailed (nothing written) if loss or gradient is not finite.
    """
    begun = time.perf_counter()
    require_gpu_settings(config)
    data = sft_examples(rows, chat, config.max_length, score_alone, config.eft_weight)
    if not data.examples:
        raise InputError(
            f"sft: no row left to train on of {len(rows)} (dropped: {data.dropped}); raise sft.max_length, "
            "or give more rows in seed_data.ift or seed_data.ranked"
        )
    if threads is not None:
        torch.set_num_threads(max(1, threads // distributed.local_processes()))
    collectives.join()
    precision = choose_precision(config.precision)
    keep_freed_memory()
    settings = {"stage": "sft", "config": settings_that_matter(config), "seed": seed, "initial": content_hash(initial)}
    key = training_key(settings, ([e.prompt_ids, e.target_ids] for e in data.examples))
    with checkpoint_folder(output, key) as scratch:
        alone = config.pack_judgements == 1  # whether a model takes packs is tried with its weights
        model = load_policy(config, initial, trust_remote_code=trust_remote_code, by_layer=alone)
        model = with_dropout(model, config.dropout, "sft.dropout")
        arguments = trainer_arguments(config, stage="sft", seed=seed, precision=precision, scratch=scratch)
        can_pack = plain_head(model) and config.max_length <= tree_limit(model)
        most = config.pack_judgements if can_pack else 1
        made = packs(data.examples, config.weighting, most, config.max_length)
        blocks = None
        if config.tokens_per_step is not None:
            random.Random(derive_seed(seed, "order of rows")).shuffle(made)
            blocks = token_blocks([len(pack.ids) for pack in made], config.tokens_per_step)
        trainer = ResponseSFTTrainer(
            model,
            packed=any(pack.rows > 1 for pack in made),
            blocks=blocks,
            args=SFTConfig(**arguments, remove_unused_columns=False, dataset_kwargs={"skip_prepare_dataset": True}),
            train_dataset=Dataset.from_list([pack.columns() for pack in made]),
            data_collator=partial(collate, pad_id=chat.pad_id),
            processing_class=private_tokenizer(chat),
            peft_config=lora_config(config, model, dropout=config.lora.dropout),
        )
        reporter = Reporter(on_progress, on_metrics, "loss")
        fit(trainer, reporter, scratch)
        save_model(
            trainer.model,
            output,
            initial=initial,
            chat=chat,
            keep_adapter=keeps_adapter(config),
            trust_remote_code=trust_remote_code,
            save_dtype=config.save_dtype,
        )
        if distributed.is_main():
            set_adapter_aside(output)
        summary = TrainingSummary(
            rows=len(data.examples),
            dropped=data.dropped,
            steps=trainer.state.global_step,
            sequences=len(made),
            tokens=round(config.epochs * sum(len(pack.ids) for pack in made)),
            target_tokens=round(config.epochs * sum(len(example.scored) for example in data.examples)),
            seconds=round(time.perf_counter() - begun, 3),
            first_loss=reporter.losses[0],
            last_loss=reporter.losses[-1],
            precision=precision,
            peak_memory_mib=round(peak_memory_mib(), 1),
        )
        if distributed.is_main():
            record_finished(output, summary.as_dict())
    return summary
