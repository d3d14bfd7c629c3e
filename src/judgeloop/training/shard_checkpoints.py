"""Checkpoints of a training whose weights are in shards: each process writes its parts (torch.distributed.checkpoint),
and nothing is brought together. Processes in any other number, or one alone, take from the files what they need.

`parts` in the trainer's checkpoint folder holds what is trained and the optimiser's state of it, by the parameters'
names; what is no tensor is in the trainer's own files beside it.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from transformers.trainer import OPTIMIZER_NAME

from judgeloop.errors import StageFailed
from judgeloop.training import collectives, distributed

PARTS = "parts"


def write_parts(model: Any, optimizer: Any, folder: Path) -> None:
    """Write the trained weights and the optimiser's state into the checkpoint `folder`. Every process must call."""
    parts = folder / PARTS
    if distributed.is_main():
        shutil.rmtree(folder, ignore_errors=True)  # what a kill left half written
        folder.mkdir(parents=True)
        groups = optimizer.state_dict()["param_groups"]
        torch.save({"state": {}, "param_groups": groups}, folder / OPTIMIZER_NAME)
    collectives.wait_for_all()
    tensors = {_weight(name): parameter.detach() for name, parameter in _trained(model)}
    for name, parameter in _of(optimizer, model):
        tensors.update({_state(name, key): value for key, value in optimizer.state[parameter].items()})
    dcp.save(tensors, storage_writer=dcp.FileSystemWriter(parts))


def holds_parts(folder: Path) -> bool:
    """Whether the checkpoint was written by `write_parts`."""
    return (folder / PARTS).is_dir()


def read_weights(model: Any, folder: Path) -> None:
    """Put the checkpoint's weights into the model, whole or in shards. Every process must call."""
    wanted = {_weight(name): parameter.detach() for name, parameter in _trained(model)}
    _read(wanted, folder, _held(folder))


def read_optimizer(optimizer: Any, model: Any, folder: Path) -> None:
    """Put the optimiser's state of the checkpoint into `optimizer`. Every process must call."""
    held = _held(folder)
    wanted: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    for number, (name, parameter) in enumerate(_of(optimizer, model)):
        state[number] = {}
        for key in (full.removeprefix(_state(name, "")) for full in held if full.startswith(_state(name, ""))):
            kept = held[_state(name, key)]
            like = parameter.detach() if kept.size == parameter.shape else torch.empty(kept.size)
            state[number][key] = wanted[_state(name, key)] = torch.zeros_like(like, dtype=kept.properties.dtype)
    _read(wanted, folder, held)
    said = torch.load(folder / OPTIMIZER_NAME, map_location="cpu", weights_only=True)
    optimizer.load_state_dict({"state": state, "param_groups": said["param_groups"]})


def _read(wanted: dict[str, Tensor], folder: Path, held: dict[str, TensorStorageMetadata]) -> None:
    for name, tensor in wanted.items():
        if name not in held or held[name].size != tensor.shape:
            raise StageFailed(f"{folder}: the checkpoint holds no {name} of this shape; remove it and start again")
    reader = dcp.FileSystemReader(folder / PARTS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # one process reads all
        dcp.load(dict(wanted), storage_reader=reader, no_dist=distributed.processes() == 1)


def _held(folder: Path) -> dict[str, TensorStorageMetadata]:
    found = dcp.FileSystemReader(folder / PARTS).read_metadata().state_dict_metadata
    return {name: kept for name, kept in found.items() if isinstance(kept, TensorStorageMetadata)}


def _trained(model: Any) -> Iterator[tuple[str, Any]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _of(optimizer: Any, model: Any) -> list[tuple[str, Any]]:
    """The optimiser's parameters with their names, in its own order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [(names[id(p)], p) for group in optimizer.param_groups for p in group["params"]]


def _weight(name: str) -> str:
    return f"model/{name}"


def _state(name: str, key: str) -> str:
    return f"optimizer/{name}/{key}"
