"""Merge an adapter into its base, or add tokens to a vocabulary. Imports torch; run in its own process."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import PeftModel

from judgeloop.models.facts import TOKENIZER_FILES
from judgeloop.models.permissions import follow_umask
from judgeloop.models.template import CHATML
from judgeloop.models.tokenizer import published_tokenizer
from judgeloop.models.whole_model import load_whole_model


def merge_adapter(adapter: str, base: str, folder: str) -> None:
    """Write the model that `adapter` makes of `base` to `folder`. The tokenizer is the adapter's, if it has one."""
    own = any((Path(adapter) / name).is_file() for name in TOKENIZER_FILES)
    tokenizer = published_tokenizer(Path(adapter if own else base))
    model = load_whole_model(Path(base), dtype="auto")
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:  # trained with tokens added
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    follow_umask(Path(folder))


def add_chatml_tokens(source: str, folder: str) -> None:
    """Write the model with <|im_start|> and <|im_end|> added to `folder`; the second is its new EOS.

    A new token's embedding is the mean of the others, so that what it means has to be learnt.
    """
    tokenizer = published_tokenizer(Path(source))
    model = load_whole_model(Path(source), dtype="auto")
    old = len(tokenizer)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "eos_token": "<|im_end|>"}
    )
    tokenizer.chat_template = CHATML
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            if layer is not None:
                layer.weight[old : len(tokenizer)] = layer.weight[:old].float().mean(dim=0).to(layer.weight.dtype)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    before = model.generation_config.eos_token_id
    ends = before if isinstance(before, list) else [] if before is None else [before]
    model.generation_config.eos_token_id = [end, *ends]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    follow_umask(Path(folder))
