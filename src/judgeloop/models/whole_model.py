"""Load a language model with every one of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.models.auto_class import auto_class


def load_whole_model(folder: Path, **options: Any) -> Any:
    """`from_pretrained(folder, **options)` of the folder's auto class, refused if the folder lacks weights of the model
    that its config describes: the library would draw them at random and only warn."""
    model, found = auto_class(folder).from_pretrained(str(folder), output_loading_info=True, **options)
    lacking = sorted(found["missing_keys"])
    if lacking:
        raise InputError(
            f"{folder}: its weights lack {len(lacking)} tensors of a {type(model).__name__}, which its config.json "
            f"describes, such as {lacking[0]}; restore the config that belongs to these weights"
        )
    return model
