"""Weights in shards: each process holds its part of every tensor, and with it of the gradient and the optimiser state.

torch's FSDP2 brings a layer's whole weights together while the layer is at work, forwards and backwards, and adds up
each part of the gradient in the process that keeps it. So a model too large for one GPU can be trained. All processes
must call the model and its backward equally often: a process without rows runs one that counts for nothing.

A training may go on in another number of processes (`training.shard_checkpoints`), and its model is written as one
process alone would write it (`training.weight_files`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from judgeloop.errors import StageFailed
from judgeloop.training import distributed
from judgeloop.training.shard_loading import Filler
from judgeloop.training.weight_files import whole


def shard(model: Any, *, bf16: bool) -> None:
    """Keep of every weight only this process's part, on its device (or on the host, if parts are offloaded); layer by
    layer, and what is outside the layers as one more. With hybrid sharding the parts are those of one machine's
    processes, and every machine has them all. `bf16`: layers compute in it, while the parts kept and the sums of
    gradients are float32.

    The model keeps its interface, but must be called as a module (`model(…)`): that is what brings weights together.
    """
    shape = distributed.mesh_shape()
    names = ("copy", "part")[-len(shape) :]
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", shape, mesh_dim_names=names)
    offload = CPUOffloadPolicy(pin_memory=torch.cuda.is_available()) if distributed.offloads() else OffloadPolicy()
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if bf16 else MixedPrecisionPolicy()
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    filler = Filler(model)
    for module in [*reversed(layers), model]:  # what is inside goes first
        filler.fill(module)
        # Also the outermost: its weights must be shards again when the optimiser is made after the reference's pass.
        fully_shard(module, mesh=mesh, mp_policy=policy, offload_policy=offload, reshard_after_forward=True)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # Each process's loss is its part of the batch's loss: gradients are added, not averaged. Plainly: gloo has
            # no other way, and NCCL's scaled sum is wrong in bf16 (transformers notes it and does the same).
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def is_sharded(model: Any) -> bool:
    """Whether the weights are in shards."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def trained_weights(model: Any) -> dict[str, Tensor] | None:
    """What is trained, by name and in one piece, on rank 0; None on the others, and for a model that is not in shards.
    Every process must call."""
    if not is_sharded(model):
        return None
    found = {name: whole(parameter) for name, parameter in _trained(model)}
    return {name: value for name, value in found.items() if value is not None} if distributed.is_main() else None


def load_trained_weights(model: Any, folder: Path) -> None:
    """Give each process its parts of the weights in a checkpoint, adapters or a whole model."""
    with ExitStack() as stack, torch.no_grad():
        files = [stack.enter_context(safe_open(path, "pt")) for path in sorted(folder.glob("*.safetensors"))]
        holders = {name: file for file in files for name in file.keys()}  # noqa: SIM118 - no mapping
        for name, parameter in _trained(model):
            # PEFT leaves the adapter's own name out.
            found = next((n for n in (name, name.replace(".default.", ".")) if n in holders), None)
            if found is None:
                raise StageFailed(f"{folder}: the checkpoint holds no {name}; remove the folder and start again")
            parameter.copy_(_part(holders[found].get_tensor(found), parameter))


def load_optimizer_state(optimizer: Any, state: dict[str, Any]) -> None:
    """Load `optimizer.state_dict()` as one process wrote it (see `whole`), of which each process keeps its parts."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, values in state["state"].items():
        parameter = parameters[number]
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = _part(value, parameter)
    optimizer.load_state_dict(state)


def _trained(model: Any) -> Iterator[tuple[str, DTensor]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _part(value: Tensor, like: DTensor) -> DTensor:
    """This process's part of a tensor that all of them have."""
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
