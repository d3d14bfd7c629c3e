"""Are the weights' numbers numbers? A training that diverged leaves NaN or infinity, with which nothing can be
computed, and no library refuses to load them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from judgeloop.models.contents import said_of
from judgeloop.models.facts import TensorHeader, tensor_headers

# Of each type of number, the integer of its size and the bits of its exponent: all are set in NaN and infinity alone.
_EXPONENT: dict[str, tuple[type[np.unsignedinteger], int]] = {
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
    "F32": (np.uint32, 0x7F800000),
    "F64": (np.uint64, 0x7FF0000000000000),
}
_AT_ONCE = 2**17  # numbers, few enough for a processor's own memory
_ALL = "finite"


def finite_problem(folder: Path) -> str | None:
    """Which of the folder's weights holds NaN or infinity; None if none does. Every file is read whole once, as for
    `contents.content_hash`, about half a second for each GB; after that the answer comes from the user's cache."""
    for path, headers in groupby(tensor_headers(folder), lambda header: header.file):
        found = said_of(path, "finite", partial(_first, path, list(headers)))
        if found != _ALL:
            return (
                f"{path.name} holds NaN or infinity in '{found}', as a training that diverged or a damaged file "
                "leaves them; give an earlier checkpoint, or get the file again"
            )
    return None


def _first(path: Path, tensors: Iterable[TensorHeader]) -> str:
    """The first tensor with a number that is none. What masks attention may well be infinite."""
    data = np.memmap(path, np.uint8, "r")
    for tensor in tensors:
        if tensor.dtype not in _EXPONENT or "mask" in tensor.name:
            continue
        kind, exponent = _EXPONENT[tensor.dtype]
        numbers = data[tensor.offset : tensor.offset + tensor.size].view(kind)
        bits = kind(exponent)
        for start in range(0, len(numbers), _AT_ONCE):
            if ((numbers[start : start + _AT_ONCE] & bits) == bits).any():
                return tensor.name
    return _ALL
