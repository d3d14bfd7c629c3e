"""Merge an adapter into its base, or add tokens to a vocabulary. Imports torch; run in its own process."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open

from judgeloop.errors import InputError
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
    adapted = PeftModel.from_pretrained(model, adapter)
    if not hasattr(adapted.base_model, "merge_and_unload"):
        raise InputError(f"it is of the kind {adapted.peft_type.value}, which changes no weights")
    _require_place(adapted, Path(adapter) / "adapter_model.safetensors")
    merged = adapted.merge_and_unload(safe_merge=True)
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    follow_umask(Path(folder))


def _require_place(adapted: PeftModel, weights: Path) -> None:
    """Raise InputError unless the adapter's file has just what it should have for this base: PEFT passes over what has
    no place, and leaves out what is missing."""
    with safe_open(weights, "pt") as file:
        stored = {name for name in file.keys() if "lora_" in name}  # noqa: SIM118 - no mapping
    own = {name for name in get_peft_model_state_dict(adapted, save_embedding_layers=False) if "lora_" in name}
    if odd := sorted(stored ^ own):
        what = "the base has no place for" if odd[0] in stored else "its file lacks"
        raise InputError(f"{what} {len(odd)} of its tensors, such as {odd[0]}: it belongs to another base")


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
