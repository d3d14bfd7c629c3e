"""Restore a quantised GGUF file to a plain Hugging Face folder in float32. Imports torch; run in its own process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers import Regex, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from judgeloop.models.gguf_export import SPLIT_NAMES
from judgeloop.models.permissions import follow_umask


def restore(gguf: str, folder: str) -> None:
    """Read `gguf` and write model, tokenizer and generation config to `folder`.

    The model is built anew from its config, since transformers refuses to save one that remembers being quantised.
    """
    source = Path(gguf)
    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    _restore_split(tokenizer, source)
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
    follow_umask(Path(folder))


def _restore_split(tokenizer: Any, source: Path) -> None:
    """Give a byte-level tokenizer its splitting of text into words back, of which transformers keeps only the
    byte-level step. Ends the process with a reason if the file names a way that is not known here."""
    reader = GGUFReader(source)
    kind, split = (
        field.contents() if (field := reader.get_field(f"tokenizer.ggml.{name}")) is not None else None
        for name in ("model", "pre")
    )
    if kind != "gpt2":
        return  # SentencePiece has none
    patterns = {name: pattern for pattern, name in SPLIT_NAMES.items()}
    if split == "smollm":
        steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    elif split in patterns:
        steps = [
            pre_tokenizers.Split(Regex(patterns[split]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    elif split == "gpt-2":
        steps = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    else:
        sys.exit(f"how its tokenizer '{split}' splits text is not known here; give the model's Hugging Face folder")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
