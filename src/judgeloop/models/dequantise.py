"""Restore a quantised GGUF file to a plain Hugging Face folder in float32. Imports torch; run in its own process."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig


def restore(gguf: str, folder: str) -> None:
    """Read `gguf` and write model, tokenizer and generation config to `folder`.

    The model is built anew from its config, since transformers refuses to save one that remembers being quantised.
    """
    source = Path(gguf)
    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    # transformers keeps only the byte-level step; SmolLM's own tokenizer splits digits before it.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    read = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name, dtype=torch.float32)
    values = read.config.to_dict()
    for leftover in ("quantization_config", "_name_or_path"):
        values.pop(leftover, None)
    config = type(read.config).from_dict(values)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
