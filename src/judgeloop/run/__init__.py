"""The run directory and those who work in it."""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """This folder has the name of a function of the API: `judgeloop.run(config)` is that function, whether something of
    the folder was imported before or not."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return importlib.import_module("judgeloop.api").run(*arguments, **options)


sys.modules[__name__].__class__ = _Package
