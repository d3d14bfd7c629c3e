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


def training_problems(folder: Path, frozen: Mapping[str, int] | None = None) -> list[str]:
    """What keeps a usable model from being trained, each in one line. `frozen`: key → how many of its first layers
    stay as they are."""
    config = read_config(folder)
    layers = text_config(config).get("num_hidden_layers", text_config(config).get("n_layer"))
    problems = [
        f"{key} is {number}, and the model has {layers} layers, of which one at least must be trained; lower it"
        for key, number in (frozen or {}).items()
        if isinstance(layers, int) and number >= layers
    ]
    method = quantisation(config)
    if method is not None:
        problems.append(
            f"its weights are quantised ({method}) and cannot be trained further; give the model's unquantised folder "
            "(train.method: qlora quantises it while it trains)"
        )
    return problems
