"""What a model folder says about itself, read from its config and the headers of its weights: no weight is loaded."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.models.hub import rest_of

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
WEIGHTS_INDEX = "model.safetensors.index.json"
_EMBEDDINGS = re.compile(r"(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings|embedding)\.weight$")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_WRAPPED = re.compile(r"base_model\.model\.|_orig_mod\.|module\.|_fsdp_wrapped_module\.")
_PACKED = re.compile(r"F[48]|[IU](?:8|16|32)$")
_TOWER = re.compile(r"vision|visual|audio|image|speech|mtp")
_POSITIONS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len")
_LFS = b"version https://git-lfs"
POINTER = "is a git-lfs pointer, not the file; run `git lfs pull` in the model's folder"


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """One tensor of a safetensors file: where it is and what it is, not its values. `offset` and `size` in bytes."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON file that contains an object. Raises InputError if it cannot be read as one."""
    if is_lfs_pointer(path):
        raise InputError(f"{path}: {POINTER}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); restore the model folder") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: is not a JSON object; restore the model folder")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json. Raises InputError if there is none."""
    return read_json_object(folder / "config.json")


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a config that is about the language model: all of it, except in models that also see or hear."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def tokenizer_problem(folder: Path) -> str | None:
    """Why the folder has no tokenizer that could be loaded, with what to do about it; None if it has one."""
    if any((folder / name).is_file() for name in TOKENIZER_FILES) or _tokenizer_is_code(folder):
        return None
    if (folder / "tekken.json").is_file():
        return (
            "its only tokenizer is in Mistral's own form (tekken.json); copy tokenizer.json and tokenizer_config.json "
            "from a folder of the model for transformers into it"
        )
    remedy = rest_of(folder) or "copy the tokenizer's files into it"
    return f"the model folder has no tokenizer; {remedy}"


def _tokenizer_is_code(folder: Path) -> bool:
    """Whether the model brings the code of its tokenizer, whose files may have any names (Kimi's tiktoken.model)."""
    path = folder / "tokenizer_config.json"
    return path.is_file() and "AutoTokenizer" in (read_json_object(path).get("auto_map") or {})


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files in which the library finds the model's weights."""
    whole, index = folder / "model.safetensors", folder / WEIGHTS_INDEX
    if index.is_file() and not whole.is_file():
        names = read_json_object(index).get("weight_map")
        if not isinstance(names, dict):
            raise InputError(f"{index}: has no weight_map; restore the model folder")
        return [folder / name for name in sorted({str(name) for name in names.values()})]
    return [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))


def tensor_headers(folder: Path) -> Iterator[TensorHeader]:
    """The header of every tensor in the folder's weights. Raises InputError for a file that is missing, cut off, or no
    safetensors file."""
    from gguf.utility import SafetensorsLocal

    for path in weight_files(folder):
        if is_lfs_pointer(path):
            raise InputError(f"{path}: is a git-lfs pointer, not the weights; run `git lfs pull` in the model's folder")
        if not path.exists():
            raise InputError(f"{path}: is not there, and {WEIGHTS_INDEX} names it; download the rest of the model")
        try:
            tensors = SafetensorsLocal(path).tensors
            length = path.stat().st_size
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
            raise InputError(f"{path}: cannot be read as safetensors ({error}); restore the model folder") from error
        for name, tensor in tensors.items():
            place = tensor.data_range
            if place.offset + place.size > length:
                raise InputError(f"{path}: is cut off within '{name}'; download the file again")
            yield TensorHeader(path, name, tensor.dtype, tuple(tensor.shape), place.offset, place.size)


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what git leaves in the place of a large file that was not fetched."""
    try:
        with path.open("rb") as handle:
            return handle.read(len(_LFS)) == _LFS
    except OSError:
        return False


def require_no_pointers(folder: Path) -> None:
    """Raise InputError if a file of the tokenizer or its template was not fetched."""
    for name in (*TOKENIZER_FILES, "tokenizer_config.json", "chat_template.jinja", "chat_template.json"):
        if is_lfs_pointer(folder / name):
            raise InputError(f"{folder / name}: {POINTER}")


def max_positions(folder: Path) -> int | None:
    """How many tokens, prompt and response together, the model has positions for; None if nothing limits them."""
    config = text_config(read_config(folder))
    return next((int(config[name]) for name in _POSITIONS if isinstance(config.get(name), int)), None)


def sliding_window(config: dict[str, Any]) -> int | None:
    """How many tokens back attention sees in the layers that do not see all; None if every layer sees all."""
    config = text_config(config)
    window = config.get("sliding_window")
    kinds = config.get("layer_types")
    if not isinstance(window, int) or config.get("use_sliding_window") is False:
        return None
    return window if kinds is None or any("sliding" in str(kind) for kind in kinds) else None


def configured_vocabulary(folder: Path) -> int | None:
    """The number of token ids that the config says the weights know; None if it leaves it to its class."""
    said = text_config(read_config(folder)).get("vocab_size")
    return said if isinstance(said, int) else None


def quantisation(config: dict[str, Any]) -> str | None:
    """How the folder's weights are quantised, such as "gptq"; None if they are not."""
    if isinstance(config.get("quantization"), dict):
        return f"mlx, {config['quantization'].get('bits')} bits"
    found = config.get("quantization_config")
    if not isinstance(found, dict) or not found:
        return None
    bits = next((n for n in (4, 8) if found.get(f"load_in_{n}bit")), found.get("bits") or found.get("w_bit"))
    method = str(found.get("quant_method") or ("bitsandbytes" if bits else "an unknown method"))
    return f"{method}, {bits} bits" if bits else method


def packed_type(folder: Path) -> str | None:
    """The type of number of weights that are quantised, whatever the config says; None if they are not."""
    return _packed(tensor_headers(folder))


def _packed(headers: Iterable[TensorHeader]) -> str | None:
    matrices = (t.dtype for t in headers if "weight" in t.name and len(t.shape) > 1)
    return next((dtype for dtype in matrices if _PACKED.match(dtype)), None)


def vocabulary_size(folder: Path) -> int | None:
    """Rows of the input embedding: the number of token ids the weights know. None if no tensor is named like one."""
    found = [t for t in tensor_headers(folder) if _EMBEDDINGS.search(t.name) and len(t.shape) == 2]
    return max((t.shape[0] for t in found), default=None)


def parameters(folder: Path) -> int:
    """Number of weights stored in the folder; a tied head counts once."""
    return sum(math.prod(tensor.shape) for tensor in tensor_headers(folder))


def weight_problems(folder: Path) -> list[str]:
    """What keeps the folder's weights from fitting its config and tokenizer, each in one line; empty if all fits."""
    config = text_config(read_config(folder))
    headers = list(tensor_headers(folder))
    if quantisation(config) is not None or _packed(headers) is not None:
        return []  # complete, but shapes of packed weights say nothing
    found = []
    if headers and (wrapper := _WRAPPED.match(headers[0].name)):
        return [
            f"its tensors are named as a wrapper saved them ('{wrapper[0]}…'); save the model inside it with "
            "save_pretrained"
        ]
    embeddings = _embeddings(headers)
    depth = max((layer_number(tail) + 1 for tail in layer_tensors(headers)), default=0)
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    extra = int(config.get("num_nextn_predict_layers") or 0)  # DeepSeek-V3 stores layers that only predict ahead
    if depth and isinstance(layers, int) and not layers <= depth <= layers + extra:
        found.append(
            f"config.json says {layers} layers and the weights have {depth}; restore the config that belongs to these "
            "weights"
        )
    if not embeddings:
        return found
    rows, width = max(t.shape for t in embeddings)
    rows -= 8 if config.get("model_type") == "mllama_text_model" else 0  # Llama 3.2 Vision's, for tokens of pictures
    hidden = config.get("word_embed_proj_dim", config.get("hidden_size", config.get("n_embd")))
    for name, said, stored in (("vocab_size", config.get("vocab_size"), rows), ("hidden_size", hidden, width)):
        if isinstance(said, int) and said != stored:
            found.append(
                f"config.json says {name} {said} and the weights have {stored}; restore the config that belongs to "
                "these weights"
            )
    pad = config.get("pad_token_id")
    if isinstance(pad, int) and pad >= rows:
        found.append(f"config.json says pad_token_id {pad} and the weights know {rows} tokens; set it to null")
    tied = read_config(folder).get("tie_word_embeddings", config.get("tie_word_embeddings"))  # the outer config decides
    if tied is False and not any(t.shape == (rows, width) and not _EMBEDDINGS.search(t.name) for t in headers):
        found.append(
            "config.json says that the output embedding is one of its own, and the weights have none (lm_head); "
            "restore the missing file, or the config that belongs to these weights"
        )
    beyond = _tokens_beyond(folder, rows)
    if beyond:
        found.append(
            f"the tokenizer knows {len(beyond)} tokens that the weights do not ({rows} rows), such as {beyond[0]!r}; "
            "use the tokenizer that belongs to these weights, or resize the embeddings and save the model"
        )
    return found


def layer_tensors(headers: Sequence[TensorHeader]) -> dict[str, TensorHeader]:
    """The tensors of the language model's layers, by their names from "layers.3." on: of the layers beside its
    embedding, for what sees, hears or only predicts ahead has layers of its own, and not always fewer."""
    embeddings = _embeddings(headers)
    stem = _EMBEDDINGS.sub("", max(embeddings, key=lambda t: t.shape).name) if embeddings else ""
    own = (t for t in headers if t.name.startswith(stem) and not _TOWER.search(t.name))
    return {tail: t for t in own if (tail := layer_tail(t.name))}


def layer_tail(name: str) -> str | None:
    """A tensor's name from "layers.3." on; None if it is in no layer."""
    match = _LAYER.search(name)
    return name[match.start() :].lstrip(".") if match else None


def layer_number(tail: str) -> int:
    """The 3 of "layers.3."."""
    return int(tail.split(".")[1])


def _embeddings(headers: Iterable[TensorHeader]) -> list[TensorHeader]:
    return [t for t in headers if _EMBEDDINGS.search(t.name) and len(t.shape) == 2 and not _TOWER.search(t.name)]


def _tokens_beyond(folder: Path, rows: int) -> list[str]:
    """Tokens that could occur and have no row: ordinary ones, and control tokens that the chat template writes. Other
    control tokens never do (Gemma 3's for images), for their names in a text are spelled out."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return []
    tokenizer = read_json_object(path)
    vocabulary = tokenizer.get("model", {}).get("vocab", {})
    known = (
        {str(piece[0]): place for place, piece in enumerate(vocabulary)}
        if isinstance(vocabulary, list)
        else dict(vocabulary)
    )
    template = "".join(
        (folder / name).read_text(encoding="utf-8", errors="replace")
        for name in ("chat_template.jinja", "tokenizer_config.json")
        if (folder / name).is_file()
    )
    special = set()
    for token in tokenizer.get("added_tokens", ()):
        known[token["content"]] = token["id"]
        if token.get("special") and template.count(token["content"]) <= 1:  # once: where its name is declared
            special.add(token["content"])
    return sorted(
        (word for word, number in known.items() if number >= rows and word not in special), key=known.__getitem__
    )
