"""Are the weights' numbers numbers, and all there? A training that diverged leaves NaN or infinity, a download
that was broken off zeros, and no library refuses to load them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
_BLOCK = 4096  # bytes, of a disk
_FINE = "fine"


def finite_problem(folder: Path) -> str | None:
    """Which of the folder's weights holds NaN or infinity, or which file was fetched in part; None if none. Every file
    is read whole once, as for `contents.content_hash`, about half a second for each GB; after that the answer comes
    from the user's cache."""
    for path, headers in groupby(tensor_headers(folder), lambda header: header.file):
        found = said_of(path, "finite", partial(_looked_through, path, list(headers)))
        if found != _FINE:
            return f"{path.name} {found}"
    return None


def _looked_through(path: Path, tensors: Sequence[TensorHeader]) -> str:
    """What is wrong with a file's numbers. What masks attention may well be infinite."""
    data = np.memmap(path, np.uint8, "r")
    for tensor in tensors:
        if tensor.dtype not in _EXPONENT or "mask" in tensor.name:
            continue
        kind, exponent = _EXPONENT[tensor.dtype]
        numbers = _bytes(data, tensor).view(kind)
        bits = kind(exponent)
        for start in range(0, len(numbers), _AT_ONCE):
            if ((numbers[start : start + _AT_ONCE] & bits) == bits).any():
                return (
                    f"holds NaN or infinity in '{tensor.name}', as a training that diverged or a damaged file leaves "
                    "them; give an earlier checkpoint, or get the file again"
                )
    last = sorted(tensors, key=lambda tensor: tensor.offset)[-2:]  # one alone may be made of zeros to begin with
    large = sum(tensor.size for tensor in last) >= _BLOCK and any(len(tensor.shape) > 1 for tensor in last)
    if large and not any(_bytes(data, tensor).any() for tensor in last):
        return f"ends in zeros ('{last[-1].name}'), as a download that was broken off leaves it; get the file again"
    return _FINE


def _bytes(data: NDArray[np.uint8], tensor: TensorHeader) -> NDArray[np.uint8]:
    return data[tensor.offset : tensor.offset + tensor.size]
