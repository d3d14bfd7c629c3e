"""The parts of a loaded language model: the layers that text goes through, and what it has beside them."""

from __future__ import annotations

import re
from typing import Any

_DROPOUT = re.compile(r"(?:drop(?:out)?(?:_p|_prob|_rate)?|pdrop)$")


def body(model: Any) -> Any:
    """The model without its output layer: called with ids, it answers with `last_hidden_state`."""
    base, head = model.base_model, model.get_output_embeddings()
    if base is not model or head is None:
        return base
    owners = (part for part in model.modules() if any(child is head for child in part.children()))
    return getattr(next(owners, None), "model", base)  # Llama 4 does not say what its base is


def beside_text(model: Any) -> list[str]:
    """The names of the modules that no text goes through, what sees or hears, none of them within another. Their
    weights get no gradient, so that they are neither trained nor given adapters."""
    if model.config.get_text_config() is model.config:
        return []
    inside = {id(module) for part in (model.get_decoder(), model.get_output_embeddings()) for module in part.modules()}
    found: list[str] = []
    for name, module in model.named_modules():
        within = any(name.startswith(f"{other}.") for other in found)
        if not within and not any(id(part) in inside for part in module.modules()):
            found.append(name)
    return found


def dropouts(module: Any) -> list[str]:
    """The module's numbers that are the probability of a dropout of its own, of which families have many names. Those
    of modules that are nothing but a dropout are not among them."""
    found = vars(module).items()
    return [name for name, value in found if type(value) in (int, float) and _DROPOUT.search(name)]
