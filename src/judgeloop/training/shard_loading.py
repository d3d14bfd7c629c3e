"""A model that is to be in shards, loaded a layer at a time: no process ever holds the whole of it.

It is made without numbers, and each layer gets its own from the files just before it is cut into parts.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from judgeloop.models.auto_class import auto_class

_FROM = "_judgeloop_weights_from"


def empty_model(folder: Path, **options: Any) -> Any:
    """The causal language model in `folder` with parameters that have a shape and no numbers, which `fill` brings;
    None if its files do not hold each parameter under its own name, so that it has to be loaded whole. `options`: those
    of `from_config`."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig, GenerationConfig

    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=options.get("trust_remote_code", False))
    with init_empty_weights(include_buffers=False):
        model: Any = auto_class(folder).from_config(config, **options)
    model.tie_weights()
    with ExitStack() as stack:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name, file in _holders(folder, stack).items()}
    own = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    others = model.state_dict().keys() - own.keys()  # buffers, and further names of tied weights
    if any(shapes.get(name) != shape for name, shape in own.items()) or others & shapes.keys():
        return None
    if others - {name for name, _ in model.named_parameters(remove_duplicate=False)}:
        return None
    if (folder / "generation_config.json").exists():
        model.generation_config = GenerationConfig.from_pretrained(str(folder))
    model.eval()
    setattr(model, _FROM, folder)
    return model


class Filler:
    """Gives the parts of a model that `empty_model` made their numbers; does nothing for another model."""

    def __init__(self, model: Any) -> None:
        self._folder: Path | None = getattr(model, _FROM, None)
        self._names: dict[int, str] = {}
        self._places: dict[int, list[tuple[nn.Module, str]]] = defaultdict(list)
        if self._folder is None:
            return
        for module_name, module in model.named_modules():
            for leaf, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
                self._names.setdefault(id(parameter), f"{module_name}.{leaf}".lstrip("."))
                self._places[id(parameter)].append((module, leaf))

    def fill(self, module: nn.Module) -> None:
        """Read the module's parameters that have no numbers yet, as float32."""
        empty = [parameter for parameter in module.parameters() if parameter.is_meta]
        if self._folder is None or not empty:
            return
        with ExitStack() as stack:
            holders = _holders(self._folder, stack)
            for parameter in empty:
                name = self._names[id(parameter)]
                number: Tensor = holders[name].get_tensor(name).float()
                filled = nn.Parameter(number, requires_grad=parameter.requires_grad)
                for owner, leaf in self._places[id(parameter)]:  # more than one if weights are tied
                    owner.register_parameter(leaf, filled)


def _holders(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """The open file of each tensor."""
    files = [stack.enter_context(safe_open(path, "pt")) for path in sorted(folder.glob("*.safetensors"))]
    return {name: file for file in files for name in file.keys()}  # noqa: SIM118 - no mapping
