"""Weights in and out of training: load a model folder, describe adapters, save an ordinary model folder."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import torch

from judgeloop.chat import Chat
from judgeloop.config import LoraSection, TrainingSection
from judgeloop.errors import InputError


def load_model(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """Load a causal language model with float32 weights (safetensors only).

    Raises InputError where the folder holds none.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        return AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float32, use_safetensors=True, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{folder}: cannot be loaded as a language model ({first}); mend the folder") from error


def without_dropout(model: Any) -> Any:
    """Switch off attention dropout, which is no module of its own that TRL's `disable_dropout` would find."""
    for module in model.modules():
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    return model


def lora_config(config: TrainingSection, model: Any, *, dropout: float) -> Any:
    """PEFT's description of the adapters, or None for full fine-tuning.

    `lora.target_modules` is "all-linear" or names separated by commas. Raises InputError where a name fits no module,
    or is the output head (log-probabilities are computed from its plain weight).
    """
    if config.method != "lora":
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=dropout,
        target_modules=_target_modules(config.lora, model),
        task_type="CAUSAL_LM",
    )


def _target_modules(lora: LoraSection, model: Any) -> str | list[str]:
    if lora.target_modules == "all-linear":
        return lora.target_modules
    known = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    head = {name for name, module in model.named_modules() if module is model.get_output_embeddings()}
    names = [name.strip() for name in lora.target_modules.split(",") if name.strip()]
    for name in names or [lora.target_modules]:
        if name not in known - head:
            choices = ", ".join(sorted(known - head))
            raise InputError(f"lora.target_modules: no module '{name}' to adapt; choose all-linear, or from {choices}")
    return names


def save_model(model: Any, output: Path, *, initial: Path, chat: Chat, trust_remote_code: bool = False) -> None:
    """Write an ordinary Hugging Face folder: safetensors, tokenizer with the chat template in use, generation config
    that stops at every token that ends a turn. Adapters are merged into the weights first."""
    from peft import PeftModel
    from transformers import AutoConfig, GenerationConfig

    if isinstance(model, PeftModel):
        model = model.merge_and_unload()
    # TRL writes its own choice of padding token into the model's config; the saved one keeps that of the initial model.
    before = AutoConfig.from_pretrained(str(initial), trust_remote_code=trust_remote_code).get_text_config()
    model.config.get_text_config().pad_token_id = before.pad_token_id
    ends = list(chat.end_ids)
    generation = copy.deepcopy(model.generation_config)
    generation.eos_token_id = ends if len(ends) > 1 else ends[0]
    generation.pad_token_id = chat.pad_id
    try:
        generation.validate(strict=True)
    except ValueError:  # a published config that contradicts itself could not be saved
        generation = GenerationConfig(
            bos_token_id=generation.bos_token_id, eos_token_id=generation.eos_token_id, pad_token_id=chat.pad_id
        )
    model.generation_config = generation
    model.save_pretrained(str(output))
    chat.tokenizer.save_pretrained(str(output))
    if trust_remote_code:
        for source in initial.glob("*.py"):
            if not (output / source.name).exists():
                shutil.copyfile(source, output / source.name)
