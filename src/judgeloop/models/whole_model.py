"""Load a language model with every one of its weights, or find out why that cannot be done."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError, first_line
from judgeloop.models.auto_class import auto_class
from judgeloop.models.facts import layer_number, layer_tail, layer_tensors, tensor_headers

_WEIGHT = re.compile(r"(?:weight|bias)$")
_SCORES = re.compile(r"(?:score|classifier|regression_layer|reward_head)\.")
_NUMBERS = ("F16", "BF16", "F32", "F64")


def load_whole_model(folder: Path, **options: Any) -> Any:
    """`from_pretrained(folder, **options)` of the folder's auto class.

    Refused if the folder lacks weights of the model that its config describes, has them in other shapes, or has more in
    its layers: the library would draw them at random, or leave them out, and only warn. Raises InputError with the
    library's reason if it cannot load the folder.
    """
    with faults_named(folder):
        model, found = auto_class(folder).from_pretrained(
            str(folder), output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    kind = f"a {type(model).__name__}, which its config.json describes"
    if lacking := sorted(found["missing_keys"]):
        raise InputError(
            f"{folder}: its weights lack {len(lacking)} tensors of {kind}, such as {lacking[0]}; restore the config "
            "that belongs to these weights"
        )
    if other := sorted(found["mismatched_keys"]):
        name, stored, described = other[0]
        raise InputError(
            f"{folder}: {len(other)} of its weights have another shape than in {kind}, such as {name} ({_by(stored)}, "
            f"not {_by(described)}); restore the config that belongs to these weights"
        )
    if more := _without_place(folder, model, found["unexpected_keys"]):
        raise InputError(
            f"{folder}: {len(more)} of its weights have no place in {kind}, such as {more[0]}; restore the config that "
            "belongs to these weights"
        )
    model.config.return_dict = True  # what reads its output reads it by name
    return model


@contextlib.contextmanager
def faults_named(folder: Path) -> Iterator[None]:
    """Raises InputError with the library's reason if what is done here cannot load the model in `folder`."""
    import torch

    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the library raises many kinds; each means the same to the user
        raise InputError(
            f"{folder}: cannot be loaded as a language model ({first_line(error)}); mend the folder"
        ) from error


def _without_place(folder: Path, model: Any, unexpected: Collection[str]) -> list[str]:
    """Which of the tensors that the library left out a model of this kind computes with: weights of the layers that it
    has, and the head of one that scores. What only predicts ahead, sees, or can be computed anew is none of them."""
    if not unexpected:
        return []
    own = layer_tensors(list(tensor_headers(folder)))
    layers = model.config.get_text_config().num_hidden_layers
    found = []
    for name in sorted(unexpected):
        stored = own.get(layer_tail(name) or "")
        if _SCORES.match(name):
            found.append(name)
        elif stored and layer_number(layer_tail(name) or "") < layers and _WEIGHT.search(name):
            found += [name] if stored.dtype in _NUMBERS and len(stored.shape) in (1, 2, 3) else []  # not a stored mask
    return found


def _by(shape: Any) -> str:
    return " by ".join(map(str, shape))


def require_loading(folder: Path) -> None:
    """Raise InputError with what would keep the model in `folder` from being loaded. Its weights are not read: each
    gets its shape and no numbers."""
    import torch
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        load_whole_model(folder, device_map="meta", dtype=torch.float32, use_safetensors=True, local_files_only=True)
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
