"""What a config chooses by name: engines, losses, instruction methods, pair rules, trackers, metrics.

A name is known without loading what it names: each built-in choice is a "module:attribute" that is imported when it is
first used. A user's Python file named in `plugins` adds its own with `register`; it is read as the config is loaded, in
every process of the run.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from judgeloop.config.user_functions import load_module
from judgeloop.errors import InputError

T = TypeVar("T")
_plugin: ContextVar[str | None] = ContextVar("_plugin", default=None)
_loaded: dict[Path, str] = {}  # plugin file → hash of the content that was run


class Choices(Generic[T]):
    """The values of one config key. Use it as the mark of a field: `Annotated[str, LOSSES]`; for a field that takes
    several names, `Annotated[tuple[str, ...], METRICS]`.

    `extra` are names that the key takes and that name nothing here, such as `auto`. `adapt` is the
    "module:function" that turns what a plugin registered under a name into what the key needs, or raises InputError.
    """

    def __init__(
        self, key: str, builtin: Mapping[str, str], extra: tuple[str, ...] = (), adapt: str | None = None
    ) -> None:
        self.key = key
        self._builtin = dict(builtin)
        self._extra = extra
        self._adapt = adapt
        self._added: dict[str, tuple[T, str | None]] = {}

    def names(self) -> tuple[str, ...]:
        """All names, the built-in ones first."""
        return (*self._extra, *self._builtin, *self._added)

    def builtin(self) -> tuple[str, ...]:
        """The names that come with the package."""
        return tuple(self._builtin)

    def added(self, files: Collection[str] | None = None) -> tuple[str, ...]:
        """The names that users' files registered; `files`, hashes as `load_plugin` returns them, are those meant."""
        return tuple(name for name, (_, origin) in self._added.items() if files is None or origin in files)

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._added

    def __iter__(self) -> Iterator[str]:
        return iter((*self._builtin, *self._added))

    def __getitem__(self, name: str) -> T:
        """What the name means; its module is imported now. Raises InputError for an unknown name."""
        if name in self._added:
            thing = self._added[name][0]
            adapted: T = thing if self._adapt is None else _imported(self._adapt)(name, thing)
            return adapted
        if name not in self._builtin:
            raise InputError(f"{self.key}: there is no '{name}'; choose one of {', '.join(self.names())}")
        found: T = _imported(self._builtin[name])
        return found

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that adds a choice: `@LOSSES.register("mine")`. Raises InputError if the name is taken."""

        def add(thing: T) -> T:
            origin = _plugin.get()
            known = self._added.get(name)
            if name in self._builtin or name in self._extra or (known is not None and known[1] != origin):
                raise InputError(f"{self.key}: the name '{name}' is taken; give your own another")
            self._added[name] = (thing, origin)
            return thing

        return add

    def identity(self, name: str) -> str:
        """The name, with the hash of the user's file that registered it: what a fingerprint says of the choice."""
        origin = self._added[name][1] if name in self._added else None
        return name if origin is None else f"{name} ({origin})"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
            for name in (value,) if isinstance(value, str) else value:
                if name not in self.names():
                    raise PydanticCustomError("choice", "Input should be {known}", {"known": _listed(self.names())})
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))


def _imported(name: str) -> Any:
    """What "module:attribute" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _listed(names: tuple[str, ...]) -> str:
    *most, last = (f"'{name}'" for name in names)
    return f"{', '.join(most)} or {last}" if most else last


@contextmanager
def _registering(origin: str) -> Iterator[None]:
    token = _plugin.set(origin)
    try:
        yield
    finally:
        _plugin.reset(token)


def current_plugin() -> str | None:
    """The hash of the plugin file that is being run, "sha256:…"; None outside one."""
    return _plugin.get()


def load_plugin(path: Path) -> str:
    """Run a user's Python file that registers things, and return its hash; a file is run only once.

    Raises InputError if there is no such file, or it fails, or it was changed since this process ran it.
    """
    path = path.resolve()
    try:
        digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    except OSError as error:
        raise InputError(f"plugins: {path} cannot be read ({error.strerror}); name a Python file") from error
    if path in _loaded:
        if _loaded[path] != digest:
            raise InputError(f"plugins: {path} was changed while judgeloop was running; start again")
        return digest
    with _registering(digest):
        load_module(path, "plugins")
    _loaded[path] = digest
    return digest


ENGINES: Choices[Any] = Choices(
    "engine.kind",
    {
        "openvino": "judgeloop.engines.kinds:OPENVINO",
        "transformers": "judgeloop.engines.kinds:TRANSFORMERS",
        "vllm": "judgeloop.engines.kinds:VLLM",
        "server": "judgeloop.engines.kinds:SERVER",
        "scripted": "judgeloop.engines.kinds:SCRIPTED",
    },
    extra=("auto",),
)
"""Name → `engines.kinds.EngineKind`."""

LOSSES: Choices[Any] = Choices(
    "train.loss",
    {
        **{
            name: f"judgeloop.training.losses:{name.upper()}"
            for name in (
                "dpo", "robust", "hinge", "ipo", "sigmoid_norm", "exo_pair", "nca_pair", "bco_pair", "sppo_hard",
                "apo_zero", "apo_down", "discopop",
            )
        },
        "cringe": "judgeloop.training.cringe:CRINGE",
        "sft_best": "judgeloop.training.losses:SFT_BEST",
    },
    adapt="judgeloop.training.losses:as_loss",
)  # fmt: skip
"""Name → `training.losses.PreferenceLoss`."""

INSTRUCTION_METHODS: Choices[Any] = Choices(
    "prompts.source",
    {
        "few_shot": "judgeloop.instructions.few_shot:FewShot",
        "self_instruct": "judgeloop.instructions.self_instruct.self_instruct:SelfInstruct",
        "unnatural": "judgeloop.instructions.unnatural.unnatural:Unnatural",
    },
    extra=("file",),
)
"""Name → a class, `instructions.search.Method`."""

PAIR_RULES: Choices[Any] = Choices("pairs.rule", {"best_worst": "judgeloop.pairs:best_worst"})
"""Name → `pairs.PairRule`."""

TRACKERS: Choices[Any] = Choices(
    "report_to",
    {
        "tensorboard": "judgeloop.tracking.tensorboard:TENSORBOARD",
        "wandb": "judgeloop.tracking.wandb:WANDB",
        "mlflow": "judgeloop.tracking.mlflow:MLFLOW",
        "trackio": "judgeloop.tracking.trackio:TRACKIO",
    },
)
"""Name → `tracking.base.TrackerKind`."""

METRICS: Choices[Any] = Choices(
    "stop.metric",
    {
        "win_rate": "judgeloop.evaluation.metrics:WIN_RATE",
        "score": "judgeloop.evaluation.metrics:SCORE",
        "agreement": "judgeloop.evaluation.metrics:AGREEMENT",
        "ifeval": "judgeloop.evaluation.metrics:IFEVAL",
        "checker": "judgeloop.evaluation.metrics:CHECKER",
        "prompt_blindness": "judgeloop.evaluation.metrics:PROMPT_BLINDNESS",
    },
)
"""Name → `evaluation.metrics.Metric`."""
