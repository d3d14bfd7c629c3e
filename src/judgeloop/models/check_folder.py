"""Can a model folder be used as it is? Everything that is wrong is said in one line, before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from judgeloop.errors import InputError
from judgeloop.models.facts import (
    TOKENIZER_FILES,
    is_lfs_pointer,
    quantisation,
    read_config,
    text_config,
    weight_problems,
)


def check_folder(folder: Path) -> None:
    """Raise InputError unless the folder has a config, a tokenizer, and complete safetensors weights that fit both."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: the model folder has no config.json; give the folder of a Hugging Face model")
    if not any(folder.glob("*.safetensors")):
        if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
            raise InputError(
                f"{folder}: its weights are pickle files, which can run code; save them as safetensors "
                "(save_pretrained of transformers does)"
            )
        raise InputError(f"{folder}: the model folder has no safetensors weights; copy the model's weights into it")
    tokenizer = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    if not tokenizer:
        raise InputError(f"{folder}: the model folder has no tokenizer; copy the tokenizer's files into it")
    for path in tokenizer:
        if is_lfs_pointer(path):
            raise InputError(f"{path}: is a git-lfs pointer, not the file; run `git lfs pull` in the model's folder")
    problems = weight_problems(folder)
    if problems:
        raise InputError(f"{folder}: {'; also: '.join(problems)}")


def training_problems(folder: Path) -> list[str]:
    """What keeps a usable model from being trained, each in one line."""
    method = quantisation(read_config(folder))
    if method is None:
        return []
    return [
        f"its weights are quantised ({method}) and cannot be trained further; give the model's unquantised folder "
        "(train.method: qlora quantises it while it trains)"
    ]


def require_layers(folder: Path, frozen: Mapping[str, int]) -> None:
    """Raise InputError if the model has no more layers than are to stay as they are. `frozen`: key → their number."""
    config = text_config(read_config(folder))
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    for key, number in frozen.items():
        if isinstance(layers, int) and number >= layers:
            raise InputError(
                f"{key} is {number}, and the model in {folder} has {layers} layers, of which one at least must be "
                "trained; lower it"
            )
