"""How fast a model does each kind of work on a machine: measured there (`forecast.calibration`), or reckoned from what
its products may do at most."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from judgeloop import __version__
from judgeloop.config import Config
from judgeloop.forecast.machine import Machine
from judgeloop.forecast.work import Kind, Range
from judgeloop.jsonl import write_text_atomically
from judgeloop.models.convert import cache_folder
from judgeloop.models.facts import parameters, read_config, text_config, vocabulary_size, weight_files

MEASURED = Range(0.8, 1.0, 1.3)  # of the time that a calibration leads to; a machine is never quiet
BUSY = 0.15  # share of the processor; what was measured while others took more is not remembered
TOO_BUSY = 0.3  # what is measured while others take more says little, however it is corrected
MEASURED_WHILE_BUSY = Range(0.6, 1.0, 1.5)
RECKONED = Range(0.5, 1.0, 2.0)  # of the time that arithmetic leads to
# Share of the products' peak that each kind reaches. On processors as measured (docs/performance.md); on GPUs what is
# usual of such models, not measured here.
_SHARE_CPU: dict[Kind, float] = {"read": 0.6, "write": 0.55, "score": 0.65, "train": 0.65, "refer": 0.65}
_SHARE_GPU: dict[Kind, float] = {"read": 0.35, "write": 0.5, "score": 0.3, "train": 0.3, "refer": 0.3}
_TOGETHER = 128  # sequences that a GPU writes at once


@dataclass(frozen=True, slots=True)
class Facts:
    """A model in numbers: parameters, those of its input embedding, layers, width, bytes of its files."""

    parameters: int
    embedding: int
    layers: int
    hidden: int
    bytes: int

    @classmethod
    def of(cls, folder: Path) -> Facts:
        config = text_config(read_config(folder))
        hidden = int(config.get("hidden_size") or config.get("n_embd") or 1024)
        layers = int(config.get("num_hidden_layers") or config.get("n_layer") or 24)
        embedding = (vocabulary_size(folder) or 0) * hidden
        size = sum(path.stat().st_size for path in weight_files(folder))
        return cls(parameters(folder), embedding, layers, hidden, size)

    def trained_share(self, frozen: int) -> float:
        """Of a training's work, what is left if the first `frozen` layers stay as they are: their forward alone."""
        return 1 - 2 / 3 * min(1.0, frozen / self.layers)

    def flop(self, kind: Kind) -> float:
        """Floating-point operations of one token: two a weight forward, four more backward."""
        inner = self.parameters - self.embedding
        return {"read": 2 * inner, "score": 2 * inner, "refer": 2 * inner, "train": 6 * inner,
                "write": 2 * max(inner + self.embedding, 1)}[kind]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second of each kind, seconds that loading takes, the peak memory of a training in bytes. `measured` are
    the kinds that were; the others are reckoned. `frozen`: layers that the training which they are of leaves as they
    are."""

    tokens: dict[Kind, float]
    load: float
    memory: float | None = None
    measured: tuple[Kind, ...] = ()
    busy: float = 0.0
    frozen: int = 0

    def seconds(self, kind: Kind, tokens: Range) -> Range:
        spread = RECKONED
        if kind in self.measured:
            spread = MEASURED if self.busy <= BUSY else MEASURED_WHILE_BUSY
        return tokens * (1 / self.tokens[kind]) * spread


@dataclass(slots=True)
class Calibration:
    """What was measured so far: `tokens` a second by kind, on an idle machine; `busy` is the largest share of the
    processor that other programs took meanwhile; `failed` says what could not be measured."""

    tokens: dict[str, float] = field(default_factory=dict)
    load: float | None = None
    memory: float | None = None
    seconds: float = 0.0
    busy: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)


def reckoned(machine: Machine, facts: Facts) -> Rates:
    """From the table and the model's size."""
    shares = _SHARE_GPU if machine.gpu else _SHARE_CPU
    found: dict[Kind, float] = {kind: machine.rate * share / facts.flop(kind) for kind, share in shares.items()}
    if machine.bandwidth is not None:  # each step reads all weights once, in two bytes each
        steps = machine.bandwidth * shares["write"] / (2 * facts.parameters)
        found["write"] = min(found["write"], steps * _TOGETHER)
    load = 4.0 + facts.bytes / 1e9
    return Rates(found, load)


def combined(machine: Machine, facts: Facts, found: Calibration | None, frozen: int = 0) -> Rates:
    """The measured rates; those that were not measured in the ratio in which one that was stands to its reckoning. The
    training that was measured left `frozen` layers as they are."""
    base = reckoned(machine, facts)
    if found is None or not found.tokens:
        return base
    measured: dict[Any, float] = dict(found.tokens)
    base.tokens["train"] /= facts.trained_share(frozen)
    ratios = [measured[kind] / base.tokens[kind] for kind in measured]
    ratio = math.exp(sum(map(math.log, ratios)) / len(ratios))
    tokens = {kind: measured.get(kind, rate * ratio) for kind, rate in base.tokens.items()}
    kinds = tuple(measured)
    if "train" in measured:  # the reference's forward is a third of a trained token's work
        tokens["refer"] = 3 * facts.trained_share(frozen) * measured["train"]
        kinds += ("refer",)
    return Rates(tokens, found.load or base.load, found.memory, kinds, found.busy, frozen)


def scaled(rates: Rates, from_: Facts, to: Facts) -> Rates:
    """For a model of another size on the same machine; memory is that of the run's own model."""
    factor = from_.parameters / max(1, to.parameters)
    return Rates({k: rate * factor for k, rate in rates.tokens.items()}, rates.load / factor, None, ())


# The cache ------------------------------------------------------------------------------------------------------------


def calibration_key(config: Config, machine: Machine, model: str) -> str:
    """What a calibration depends on: machine, model, engine, how it trains, and judgeloop's version."""
    train: dict[str, Literal["sft"] | Any] = {
        name: getattr(config.sft, name)
        for name in ("method", "precision", "freeze_embeddings", "freeze_layers", "gradient_checkpointing", "attention",
                     "kernels", "batch_size", "micro_batch_size", "max_length", "pack_judgements")
    }  # fmt: skip
    engine = config.engine.model_dump(mode="json")
    said = [__version__, machine.name, model, config.threads, engine, train]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]


def remembered(kind: str, key: str) -> str | None:
    """What the user's cache has of a plan: a calibration, or the sizes of a seed."""
    with contextlib.suppress(OSError):
        return _file(kind, key).read_text(encoding="utf-8")
    return None


def remember(kind: str, key: str, text: str) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        write_text_atomically(_file(kind, key), text)


def calibration_from(text: str | None) -> Calibration | None:
    if text is None:
        return None
    try:
        return Calibration(**json.loads(text))
    except (ValueError, TypeError):
        return None


def calibration_text(found: Calibration) -> str:
    return json.dumps(dataclasses.asdict(found))


def _file(kind: str, key: str) -> Path:
    return cache_folder() / "plans" / f"{kind}-{key}.json"
