"""judgeloop trains a language model on its own judgements (Self-Rewarding Language Models, arXiv 2401.10020)."""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "agreement", "judge", "open_run", "run"]


def __getattr__(name: str) -> Any:
    """The functions of `judgeloop.api`, which is loaded when one of them is first asked for."""
    if name in __all__:
        return getattr(importlib.import_module("judgeloop.api"), name)
    raise AttributeError(f"module 'judgeloop' has no attribute '{name}'")
