"""The adapters of successive models as one adapter on the weights that the first was trained on.

M1 = M0 + s₁B₁A₁ and M2 = M1 + s₂B₂A₂, so M2 = M0 + [s₁B₁ s₂B₂][A₁; A₂]: ranks add up, and nothing is approximated. A
server that holds M0 can so serve each model of a run whose trainings keep their adapters.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from judgeloop.errors import InputError
from judgeloop.models.contents import content_hash
from judgeloop.models.facts import read_json_object
from judgeloop.models.permissions import follow_umask

ADAPTER = "adapter"  # beside a model's folder, or within it for a checkpoint's
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
Part = dict[str, tuple[torch.Tensor, torch.Tensor]]  # module → (A, B)
_ROUNDING = 1e-5  # of a weight's largest number, what merging in float32 may differ by


def lineage(folder: Path, base: Path) -> list[Path]:
    """The adapters that make the model in `folder` of the one in `base`, the first trained first.

    Raises InputError where the model was not made of it by adapters that were kept.
    """
    wanted, found, place = content_hash(base), [], folder
    while content_hash(place) != wanted:
        adapter = next((each for each in (place / ADAPTER, place.parent / ADAPTER) if (each / CONFIG).is_file()), None)
        if adapter is None:
            raise InputError(
                f"{place}: has no adapter beside it, and the server holds the weights of {base}; a server can serve "
                "models whose trainings have method: lora and lora.keep_adapter: true, for others set engine.kind: vllm"
            )
        found.append(adapter)
        before = Path(str(read_json_object(adapter / CONFIG).get("base_model_name_or_path")))
        if not (before / "config.json").is_file() or len(found) > 1000:
            raise InputError(
                f"{adapter}: was trained on {before}, which is not there; put it back, or set engine.kind: vllm"
            )
        place = before
    return found[::-1]


def stack(adapters: Sequence[Path], base: Path, model: Path, output: Path) -> None:
    """Write one adapter on `base` that does what all do one after the other; `output` appears when it is whole.

    Raises InputError unless it makes exactly the weights of `model`, to within rounding.
    """
    parts = [_parts(adapter) for adapter in adapters]
    names = sorted({name for part in parts for name in part})
    stacked = {name: _stacked([part.get(name) for part in parts], [_rank(part) for part in parts]) for name in names}
    _require_makes(stacked, base, model)
    _write(output, stacked, base, sum(_rank(part) for part in parts))


def write_empty(output: Path, base: Path, rank: int, targets: Sequence[str]) -> None:
    """Write an adapter that changes nothing, on the modules of the first layer that `lora.target_modules` means."""
    with weights(base) as files:
        shapes = {
            name.removesuffix(".weight"): file.get_slice(name).get_shape()
            for name, file in files.items()
            if name.endswith(".weight") and re.search(r"\.0\.", name)
        }
    named = {name.strip() for given in targets for name in given.split(",")}
    parts = {
        name: (torch.zeros(rank, shape[1]), torch.zeros(shape[0], rank))
        for name, shape in shapes.items()
        if len(shape) == 2 and ("all-linear" in named or name.rsplit(".", 1)[-1] in named)
    }
    if not parts:
        raise InputError(
            f"lora.target_modules: no weight of {base} is of {', '.join(sorted(named))}; name linear layers"
        )
    _write(output, parts, base, rank)


def _write(output: Path, parts: Part, base: Path, rank: int) -> None:
    """An adapter's folder as PEFT writes it, whole or not at all."""
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base.resolve()),
        "r": rank,
        "lora_alpha": rank,  # each adapter's scale is in its B
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "target_modules": sorted({name.rsplit(".", 1)[-1] for name in parts}),
        "inference_mode": True,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        folder = Path(scratch) / ADAPTER
        folder.mkdir()
        _write_files(folder, parts, config)
        folder.rename(output)


def _write_files(folder: Path, parts: Part, config: Mapping[str, Any]) -> None:
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tensors = {}
    for name, (first, second) in parts.items():
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = first.contiguous()
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = second.contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    follow_umask(folder)


def _parts(adapter: Path) -> Part:
    """Module → (A, B), the scale in B. Raises InputError for more than plain low-rank adapters."""
    config = read_json_object(adapter / CONFIG)
    plain = config.get("peft_type") == "LORA" and config.get("bias", "none") == "none"
    special = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out")
    found: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(adapter / WEIGHTS).items():
        name, _, side = key.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
        plain = plain and side in ("lora_A", "lora_B") and tensor.ndim == 2
        found.setdefault(name, {})[side] = tensor.float()
    if not plain or any(config.get(key) for key in special) or any(len(sides) != 2 for sides in found.values()):
        raise InputError(f"{adapter}: is no plain low-rank adapter of linear layers; set engine.kind: vllm")
    scale = float(config["lora_alpha"]) / int(config["r"])
    return {name: (sides["lora_A"], scale * sides["lora_B"]) for name, sides in found.items()}


def _rank(part: Part) -> int:
    return max(int(first.shape[0]) for first, _ in part.values())


def _stacked(
    entries: Sequence[tuple[torch.Tensor, torch.Tensor] | None], ranks: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The As one above the other, the Bs side by side; zeros where an adapter leaves the module as it is."""
    shape = next((first.shape[1], second.shape[0]) for first, second in filter(None, entries))
    firsts = [torch.zeros(rank, shape[0]) if e is None else e[0] for e, rank in zip(entries, ranks, strict=True)]
    seconds = [torch.zeros(shape[1], rank) if e is None else e[1] for e, rank in zip(entries, ranks, strict=True)]
    return torch.cat(firsts), torch.cat(seconds, dim=1)


def _require_makes(stacked: Part, base: Path, model: Path) -> None:
    with weights(base) as before, weights(model) as after:
        for name in stacked:
            if f"{name}.weight" not in before or f"{name}.weight" not in after:
                raise InputError(
                    f"{model}: its adapter changes {name}, which its weights do not have by that name; set "
                    "engine.kind: vllm"
                )
        for name in sorted(set(before) & set(after)):
            expected, made = before[name].get_tensor(name).float(), after[name].get_tensor(name).float()
            if name.removesuffix(".weight") in stacked:
                first, second = stacked[name.removesuffix(".weight")]
                expected = expected + second @ first
            room = _ROUNDING * float(expected.abs().max())
            if expected.shape != made.shape or not torch.allclose(made, expected, rtol=0.0, atol=room):
                raise InputError(
                    f"{model}: its {name} is not what its adapters make of {base}; make the model anew with --redo, "
                    "or set engine.kind: vllm"
                )


@contextlib.contextmanager
def weights(folder: Path) -> Iterator[dict[str, Any]]:
    """Tensor → the open file that has it."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(safe_open(path, "pt")) for path in sorted(folder.glob("*.safetensors"))]
        yield {name: file for file in files for name in file.keys()}  # noqa: SIM118  # no mapping
