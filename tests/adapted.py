"""A model made of another by adapters with random numbers, saved as a training with kept adapters saves it."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from judgeloop.models.chat import Chat
from judgeloop.training.weights import load_model, save_model, set_adapter_aside


def adapted_model(
    before: Path, output: Path, rank: int, targets: str | list[str] = "all-linear", seed: int = 0, size: float = 0.2
) -> Path:
    """Write `output`/model and `output`/adapter; return the former. `size`: of the numbers in the adapters' B."""
    torch.manual_seed(seed)
    described = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM")
    model = get_peft_model(load_model(before), described)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, size)
    save_model(model, output / "model", initial=before, chat=Chat.load(before), keep_adapter=True)
    set_adapter_aside(output / "model")
    return output / "model"
