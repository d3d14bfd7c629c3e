"""Functions that the user wrote in a file of their own: a config names the file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from judgeloop.errors import InputError


def load_module(path: Path, key: str) -> ModuleType:
    """Run a Python file as `python FILE` would find its imports: its own folder first.

    `key` is the config key that names it. Raises InputError if there is no such file or it fails.
    """
    if not path.is_file():
        raise InputError(f"{key}: there is no file {path}; name a Python file")
    spec = importlib.util.spec_from_file_location(f"judgeloop_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{key}: {path} is no Python file; its name has to end with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"{key}: {path} fails with {type(error).__name__}: {error}; run it by itself") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def load_function(path: Path, signature: str, key: str) -> Callable[..., Any]:
    """A function of a Python file, which `signature` names and shows. Raises InputError if it cannot be had."""
    return function_of(load_module(path, key), path, signature, key)


def function_of(module: ModuleType, path: Path, signature: str, key: str) -> Callable[..., Any]:
    """As `load_function`, of a module that is loaded."""
    found = getattr(module, signature.partition("(")[0], None)
    if not callable(found):
        raise InputError(f"{key}: {path} has no function {signature}; define it there")
    given = signature.rstrip(")").partition("(")[2].split(", ")
    try:
        inspect.signature(found).bind(*given)
    except TypeError as error:
        raise InputError(
            f"{key}: {found.__name__} in {path} does not take ({', '.join(given)}): {error}; mend it"
        ) from error
    except ValueError:
        pass  # of a builtin, which does not say what it takes
    function: Callable[..., Any] = found
    return function
