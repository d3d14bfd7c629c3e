"""Restore a quantised GGUF file to a plain Hugging Face folder in float32. Imports torch; run in its own process."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Regex, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from judgeloop.models.gguf_tokenizer import SPLIT_NAMES
from judgeloop.models.permissions import follow_umask


def restore(file: str, folder: str) -> None:
    """Read the GGUF `file` and write model, tokenizer and generation config to `folder`."""
    source = Path(file)
    with _read_once():
        tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
        _restore_split(tokenizer, source)
        model = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name, dtype=torch.float32)
    values = model.config.to_dict()
    for leftover in ("quantization_config", "_name_or_path"):
        values.pop(leftover, None)
    model.config = type(model.config).from_dict(values)
    model.hf_quantizer = None  # transformers refuses to save a model that remembers being quantised
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    follow_umask(Path(folder))


class _Reader(gguf.GGUFReader):  # type: ignore[misc]
    """Reads a file of a hundred thousand words in a fourth of the time: plain arrays instead of views of a memmap, each
    of which keeps books of its own."""

    data: Any

    def _get(self, *given: Any, **options: Any) -> Any:
        if isinstance(self.data, np.memmap):
            self.data = self.data.view(np.ndarray)
        return super()._get(*given, **options)


@contextmanager
def _read_once() -> Iterator[None]:
    """Within this, transformers reads the file's header once instead of four times, and makes its table of names once
    instead of for each of the model's modules."""
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader = functools.cache(_Reader)
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = before


def _restore_split(tokenizer: Any, source: Path) -> None:
    """Give a byte-level tokenizer its splitting of text into words back, of which transformers keeps only the
    byte-level step. Ends the process with a reason if the file names a way that is not known here."""
    reader = gguf.GGUFReader(str(source))
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
