"""A model's folder in another number format: tensors are read, rounded and written one after another, so memory stays
at one tensor and neither torch nor the model is loaded."""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from judgeloop.errors import InputError
from judgeloop.models.facts import TensorHeader, read_json_object, tensor_headers, weight_files

DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
_SIZES = {"F32": 4, "BF16": 2, "F16": 2}
INDEX = "model.safetensors.index.json"


def write_folder(folder: Path, out: Path, dtype: str | None) -> None:
    """Copy a model folder to `out`, its weights as `dtype` (None: as they are). Raises InputError if a weight is beyond
    the range of float16."""
    out.mkdir(parents=True, exist_ok=True)
    weights = weight_files(folder)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path not in weights and not path.name.startswith("."):
            shutil.copyfile(path, out / path.name)
    if dtype is None:
        for path in weights:
            shutil.copyfile(path, out / path.name)
        return
    headers = list(tensor_headers(folder))
    for path in weights:
        _write_safetensors([h for h in headers if h.file == path], out / path.name, DTYPES[dtype])
    config = read_json_object(out / "config.json")
    config.pop("torch_dtype", None)
    _write_json(out / "config.json", {**config, "dtype": dtype})
    if (out / INDEX).is_file():
        index = read_json_object(out / INDEX)
        total = sum(math.prod(h.shape) * _SIZES[_to(h, DTYPES[dtype])] for h in headers)
        _write_json(out / INDEX, {**index, "metadata": {**index.get("metadata", {}), "total_size": total}})


def _write_safetensors(headers: Sequence[TensorHeader], out: Path, kind: str) -> None:
    """The file's header, then the tensors in their order."""
    places: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for header in headers:
        to = _to(header, kind)
        size = math.prod(header.shape) * _SIZES[to]
        places[header.name] = {"dtype": to, "shape": list(header.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(places, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with out.open("wb") as handle:
        handle.write(struct.pack("<Q", len(text)) + text)
        for header in headers:
            handle.write(_as(read_tensor(header), _to(header, kind), header).tobytes())


def _to(header: TensorHeader, kind: str) -> str:
    if header.dtype not in _SIZES:
        raise InputError(
            f"{header.file}: tensor '{header.name}' is {header.dtype}, which is not rounded; leave --dtype out"
        )
    return kind


def read_tensor(header: TensorHeader) -> NDArray[np.float32]:
    """A tensor's values."""
    raw = np.fromfile(
        header.file, dtype={"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[header.dtype], count=math.prod(header.shape),
        offset=header.offset,
    )  # fmt: skip
    return (raw.astype("<u4") << 16).view("<f4") if header.dtype == "BF16" else raw.astype("<f4")


def _as(values: NDArray[np.float32], kind: str, header: TensorHeader) -> NDArray[np.float32 | np.float16 | np.uint16]:
    if kind == "F32":
        return values
    if kind == "F16":
        with np.errstate(over="ignore"):
            found = values.astype("<f2")
        if not np.isfinite(found).all():
            raise InputError(f"{header.file}: '{header.name}' has values float16 cannot hold; export bfloat16")
        return found
    return bfloat16(values)


def bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper halves of float32 numbers, rounded to the nearest, halves to even."""
    bits = values.view("<u4")
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded >> 16).astype("<u2")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
