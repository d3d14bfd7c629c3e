"""Weights to safetensors files a layer at a time: whoever writes them never holds a whole model that is in shards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers.core_model_loading import revert_weight_conversion

from judgeloop.training import distributed

_FILE_BYTES = 5 * 10**9


def can_merge_by_layer(model: Any) -> bool:
    """Whether the model has no adapters, or plain ones on linear layers, whose weights can be merged one by one."""
    from peft import PeftModel
    from peft.tuners.lora import Linear
    from peft.tuners.tuners_utils import BaseTunerLayer

    if not isinstance(model, PeftModel):
        return True
    tuned = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    return all(
        type(module) is Linear
        and type(module.get_base_layer()) is torch.nn.Linear
        and not module.fan_in_fan_out
        and not any(module.use_dora.values())
        and not any(module.lora_bias.values())
        and len(module.active_adapters) == 1
        for module in tuned
    )


def write_weights(model: Any, output: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write what `model.save_pretrained` would, adapters merged, in files of about 5 GB. `dtype`: the type of the
    numbers in the files, if not the model's own. If the weights are in shards, every process must call; rank 0
    writes."""
    bare = model.get_base_model() if hasattr(model, "peft_config") else model
    files = _Files(output)
    for _, layer in groupby(_named(bare), key=lambda item: _layer(item[0])):
        weights = {name: whole for name, parts in layer if (whole := _merged(parts)) is not None}
        if distributed.is_main():
            cast = {name: value if dtype is None else value.to(dtype) for name, value in weights.items()}
            for name, value in revert_weight_conversion(bare, cast).items():
                files.add(name, value.contiguous())
    if distributed.is_main():
        files.close()


def whole(value: Tensor) -> Tensor | None:
    """A tensor in one piece on the CPU; on rank 0 alone if it is in shards, the others get None. Every process must
    call."""
    if not isinstance(value, DTensor):
        return value.detach().cpu()
    full = value.detach().to(value.device_mesh.device_type).full_tensor()  # offloaded parts meet on the GPU
    return full.cpu() if distributed.is_main() else None


def _layer(name: str) -> str:
    found = re.match(r".*?\.\d+(?=\.)", name)
    return found.group() if found else name


def _named(bare: Any) -> Iterator[tuple[str, list[Tensor]]]:
    """Each weight under the name it has without adapters, alone or as [weight, A, B, scale]."""
    ignored = set(bare._keys_to_ignore_on_save or ())
    kept = bare.state_dict(keep_vars=True).keys() - ignored
    modules = dict(bare.named_modules())
    for name, value in [*bare.named_parameters(), *bare.named_buffers()]:
        if name not in kept or ".lora_" in name:
            continue
        owner, _, leaf = name.rpartition(".base_layer.")
        parts = [value]
        if owner and leaf == "weight":
            module = modules[owner]
            (adapter,) = module.active_adapters
            scale = torch.tensor(module.scaling[adapter], dtype=torch.float64)
            parts += [module.lora_A[adapter].weight, module.lora_B[adapter].weight, scale]
        yield (f"{owner}.{leaf}" if owner else name), parts


def _merged(parts: list[Tensor]) -> Tensor | None:
    weight, *adapter = [whole(part) for part in parts]
    if weight is None or not adapter:
        return weight
    first, second, scale = adapter
    if first is None or second is None or scale is None:  # rank 0 has all of them
        return None
    return weight + (second @ first) * float(scale)


class _Files:
    """Files of about `_FILE_BYTES`, named when their number is known."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.waiting: dict[str, Tensor] = {}
        self.held = 0
        self.names: list[list[str]] = []
        self.total = 0

    def add(self, name: str, value: Tensor) -> None:
        size = value.nbytes
        if self.waiting and self.held + size > _FILE_BYTES:
            self._flush()
        self.waiting[name] = value
        self.held += size
        self.total += size

    def _flush(self) -> None:
        save_file(self.waiting, self._part(len(self.names)), metadata={"format": "pt"})
        self.names.append(list(self.waiting))
        self.waiting, self.held = {}, 0

    def close(self) -> None:
        self._flush()
        count = len(self.names)
        if count == 1:
            self._part(0).rename(self.output / "model.safetensors")
            return
        where: dict[str, str] = {}
        for number, names in enumerate(self.names):
            file = f"model-{number + 1:05}-of-{count:05}.safetensors"
            self._part(number).rename(self.output / file)
            where.update(dict.fromkeys(names, file))
        index = {"metadata": {"total_size": self.total}, "weight_map": where}
        (self.output / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")

    def _part(self, number: int) -> Path:
        return self.output / f"part-{number}.safetensors"
