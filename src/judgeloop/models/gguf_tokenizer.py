"""The tokenizer's part of a GGUF file: a byte-level BPE from tokenizer.json, and the chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.models.facts import read_json_object

# The regular expressions by which llama.cpp knows a pre-tokenizer; the names are llama.cpp's.
_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLIT_NAMES = {_LLAMA3_SPLIT: "llama-bpe", _LLAMA3_SPLIT.replace("{1,3}", ""): "qwen2"}


def pipeline_steps(step: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A tokenizers pipeline part as a flat list."""
    if step is None:
        return []
    parts = step.get("pretokenizers") or step.get("processors")
    return [flat for part in parts for flat in pipeline_steps(part)] if parts else [step]


def write_tokenizer(writer: Any, config: dict[str, Any], folder: Path, chat_template: str | None) -> None:
    """Add the tokens, their types and merges, the special tokens and the template: the folder's, unless another is
    given. Raises InputError if the tokenizer knows more tokens than the model."""
    from gguf import TokenType

    tokenizer = read_json_object(folder / "tokenizer.json")
    settings = (
        read_json_object(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    )
    size = int(config["vocab_size"])
    ids: dict[str, int] = dict(tokenizer["model"]["vocab"])
    kinds = {}
    for added in tokenizer.get("added_tokens", []):
        ids[added["content"]] = added["id"]
        kinds[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    if max(ids.values()) >= size:
        raise InputError(f"{folder}: the tokenizer knows more tokens than the model's {size}; resize the embeddings")
    words = {number: word for word, number in ids.items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer_name(tokenizer))
    writer.add_token_list([words.get(i, f"[PAD{i}]") for i in range(size)])
    writer.add_token_types([kinds.get(i, TokenType.NORMAL if i in words else TokenType.UNUSED) for i in range(size)])
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])

    def token_id(name: str) -> int | None:
        value = settings.get(f"{name}_token")
        word = value["content"] if isinstance(value, dict) else value
        found = ids.get(word) if word else config.get(f"{name}_token_id")
        return int(found[0] if isinstance(found, list) else found) if found is not None else None

    for name in ("bos", "eos", "pad"):
        number = token_id(name)
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    starts = [part for step in pipeline_steps(tokenizer.get("post_processor")) for part in step.get("single", [])]
    adds_bos = any(ids.get(part.get("SpecialToken", {}).get("id", "")) == token_id("bos") for part in starts[:1])
    writer.add_add_bos_token(adds_bos and token_id("bos") is not None)
    template = chat_template or _chat_template(folder, settings)
    if template:
        writer.add_chat_template(template)


def _pre_tokenizer_name(tokenizer: dict[str, Any]) -> str:
    steps = pipeline_steps(tokenizer.get("pre_tokenizer"))
    for step in steps:
        if step["type"] == "Split" and step["pattern"].get("Regex") in SPLIT_NAMES:
            return SPLIT_NAMES[step["pattern"]["Regex"]]
    kinds = [step["type"] for step in steps]
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    return "gpt-2" if kinds == ["ByteLevel"] and steps[0].get("use_regex", True) else "default"


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named templates
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    return template if isinstance(template, str) else None
