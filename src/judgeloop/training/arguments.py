"""From the config's training section to the arguments of TRL's trainers, and the precision they run in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from transformers import TrainingArguments

from judgeloop.config import TrainingSection, shapes_results
from judgeloop.records import derive_seed
from judgeloop.training import distributed

Precision = Literal["bf16", "f32"]
# transformers 5.20, which vLLM 0.33 asks for, has its older name.
_CHECKPOINTING = next(
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")
    if name in TrainingArguments.__dataclass_fields__
)


def choose_precision(wanted: Literal["auto", "bf16", "f32"]) -> Precision:
    """`auto`: bf16 autocast if the GPU has it, or if the CPU multiplies bf16 matrices in hardware (AMX or
    AVX512-BF16; other CPUs emulate bf16 more slowly than float32). Weights and optimiser state are float32 always.
    """
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f32"
    has = torch.cpu.get_capabilities()
    return "bf16" if has.get("amx_bf16") or has.get("avx512_bf16") else "f32"


def micro_batch_size(config: TrainingSection) -> int:
    """Rows at once: the largest divisor of `batch_size` that is at most `micro_batch_size`. The losses are exact under
    accumulation, so this changes memory and speed only."""
    size = min(config.micro_batch_size, config.batch_size)
    while config.batch_size % size:
        size -= 1
    return size


def settings_that_matter(config: TrainingSection) -> dict[str, Any]:
    """The section's plain values, without what changes speed, logging, or the files that are written at the end."""
    values = config.model_dump(mode="json", exclude={"save_dtype"})
    return {name: value for name, value in values.items() if shapes_results(type(config), name)}


def trainer_arguments(
    config: TrainingSection, *, stage: str, seed: int, precision: Precision, scratch: Path
) -> dict[str, Any]:
    """Keyword arguments that SFT and DPO share. `scratch` is the folder of its checkpoints.

    Set here because TRL's or transformers' defaults differ: no gradient checkpointing unless asked, no
    evaluation, NaN not hidden from the log. The schedule warms up linearly from the first step and ends at
    `lr_min` × the peak exactly. With `tokens_per_step` a micro-batch is a whole batch, see `ExactLoss.blocks`.
    """
    on_gpu = torch.cuda.is_available()
    micro = micro_batch_size(config)
    saves = distributed.is_main() or distributed.sharded()  # rank 0 writes; shards are brought together first
    return {
        "output_dir": str(scratch),
        "report_to": "none",  # the driver tells the trackers, see `tracking.tracked`
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": config.batch_size // micro if config.tokens_per_step is None else 1,
        "num_train_epochs": config.epochs,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "cosine_warmup_with_min_lr" if config.schedule == "cosine" else "linear",
        "lr_scheduler_kwargs": {"min_lr_rate": config.lr_min},
        "warmup_steps": config.warmup if config.warmup < 1 else 0.999999,
        "weight_decay": config.weight_decay,
        "adam_beta2": config.adam_beta2,
        "max_grad_norm": config.max_grad_norm,
        "bf16": precision == "bf16",
        "use_cpu": not on_gpu,
        "dataloader_pin_memory": on_gpu,
        _CHECKPOINTING: config.gradient_checkpointing,
        "max_length": None,
        "seed": derive_seed(seed, stage, "training"),
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "eval_strategy": "no",
        "save_strategy": "no" if config.checkpoint_steps is None or not saves else "steps",
        "save_steps": config.checkpoint_steps or 500,
        "save_total_limit": 1,
        "disable_tqdm": True,
    }
