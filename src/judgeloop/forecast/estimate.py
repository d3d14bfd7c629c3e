"""What a run will cost before it starts: each step's work (its stage's `cost`) at this machine's rates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from judgeloop.config import Config
from judgeloop.forecast.machine import Machine
from judgeloop.forecast.rates import Facts, Rates, scaled
from judgeloop.forecast.work import NOTHING, Known, Range, Sizes, Work
from judgeloop.run.stage import Artifact, Frozen, Input, Remote, Step

GB = 1e9
_PROCESS = Range(0.5, 0.8, 1.2)  # GB of Python, its libraries, and what they keep
_ACTIVATION = 60  # bytes a token, layer and column of a backward keep; measured on the embedded model
_MOST_TOKENS = 3072  # of one backward on a processor (training.trainer.BACKWARD_TOKENS)
_WEIGHTS = {"full": 16.0, "lora": 4.6, "qlora": 1.2}  # bytes a parameter: weights, gradients, AdamW's moments
_TEXT = 12.0  # bytes that a token takes in a row, with its id
_LATENCY = Range(0.3, 1.5, 8.0)  # seconds of a request to an endpoint that nobody measured
_STAGE = Range(0.2, 0.6, 3.0)  # seconds to start a process and to read and write rows


@dataclass(frozen=True, slots=True)
class StepForecast:
    """One step: `rows` that it makes, `tokens` that models go over, `seconds`, peak `memory` and `disk` in bytes, and
    `price` in the unit of `endpoint.prices` (None: none are given, or nothing is asked)."""

    name: str
    title: str
    rows: Range
    tokens: Range
    seconds: Range
    memory: Range
    disk: Range
    work: Work
    price: Range | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "step": self.name, "title": self.title, "rows": self.rows.as_dict(0), "tokens": self.tokens.as_dict(0),
            "seconds": self.seconds.as_dict(1), "memory_bytes": self.memory.as_dict(0),
            "disk_bytes": self.disk.as_dict(0),
            "endpoint": {"requests": self.work.asked.requests.as_dict(0), "sent": self.work.asked.sent.as_dict(0),
                         "received": self.work.asked.received.as_dict(0)} if self.work.asked.requests else None,
            "price": self.price.as_dict(4) if self.price is not None else None, "unknown": self.work.unknown,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Forecast:
    """All steps, what they come to, and how it is known. `checkpoint`: bytes that a training keeps while it lasts."""

    machine: Machine
    rates: Rates
    steps: tuple[StepForecast, ...]
    checkpoint: float = 0.0
    warnings: tuple[str, ...] = field(default=())

    @property
    def seconds(self) -> Range:
        return sum((step.seconds for step in self.steps), NOTHING)

    @property
    def disk(self) -> Range:
        return sum((step.disk for step in self.steps), Range.exactly(self.checkpoint))

    @property
    def memory(self) -> Range:
        values = [step.memory for step in self.steps]
        return Range(*(max((getattr(v, n) for v in values), default=0.0) for n in ("low", "expected", "high")))

    @property
    def price(self) -> Range | None:
        found = [step.price for step in self.steps if step.price is not None]
        return sum(found, NOTHING) if found else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "machine": self.machine.name, "measured": list(self.rates.measured),
            "tokens_per_second": {kind: round(rate, 1) for kind, rate in self.rates.tokens.items()},
            "seconds": self.seconds.as_dict(1), "memory_bytes": self.memory.as_dict(0),
            "disk_bytes": self.disk.as_dict(0), "price": self.price.as_dict(4) if self.price is not None else None,
            "warnings": list(self.warnings), "steps": [step.as_dict() for step in self.steps],
        }  # fmt: skip


def forecast(
    config: Config, steps: Sequence[Step], sizes: Sizes, machine: Machine, rates: Rates, facts: Facts
) -> Forecast:
    """Every step in the order in which it will be carried out."""
    works: dict[str, Work] = {}
    found, others = [], _OtherModels(rates, facts)
    for step in steps:
        known = Known(config, sizes, step.model, _roles(step), _given(step, works))
        work = step.stage.cost(known) if step.stage.cost is not None else Work(unknown="it does not say what it costs")
        works[step.name] = work
        found.append(_priced(config, step, work, known.roles, machine, others))
    trains = [s for s in steps if s.stage.trains is not None]
    keeps = [s for s in trains if _section(config, s).checkpoint_steps is not None]
    checkpoint = 12.0 * facts.parameters if keeps else 0.0
    return Forecast(machine, rates, tuple(found), checkpoint)


class _OtherModels:
    """Rates of models of the user's in roles, by their sizes."""

    def __init__(self, rates: Rates, facts: Facts) -> None:
        self.rates, self.facts = rates, facts
        self._known: dict[str, tuple[Rates, Facts]] = {}

    def of(self, model: str | None) -> tuple[Rates, Facts]:
        """Of the run's own model, or of the one in a folder."""
        if model is None or not (Path(model) / "config.json").is_file():
            return self.rates, self.facts
        if model not in self._known:
            facts = Facts.of(Path(model))
            self._known[model] = (scaled(self.rates, self.facts, facts), facts)
        return self._known[model]


def _roles(step: Step) -> dict[str, str | None]:
    """Who plays each role: None for a model of the run."""

    def who(given: Input) -> str | None:
        return given.name if isinstance(given, Remote) else given.path if isinstance(given, Frozen) else None

    return {name: who(given[0]) for name, given in step.given.items() if given}


def _given(step: Step, works: Mapping[str, Work]) -> dict[str, Work]:
    return {
        name: works[given[0].step] for name, given in step.given.items()
        if given and isinstance(given[0], Artifact) and given[0].step in works
    }  # fmt: skip


def _priced(
    config: Config, step: Step, work: Work, roles: Mapping[str, str | None], machine: Machine, models: _OtherModels
) -> StepForecast:
    own, facts = models.rates, models.facts
    seconds = work.seconds + (NOTHING if step.light else _STAGE)
    processes = config.compute.processes if step.stage.trains is not None else 1
    for part in work.parts:
        rates, _ = models.of(roles.get(part.role))
        share = 1.0
        if part.kind == "train":
            share = facts.trained_share(_section(config, step).freeze_layers) / facts.trained_share(own.frozen)
        seconds += rates.seconds(part.kind, part.tokens) * (share / processes)
    seconds += Range(0.6, 1.0, 1.6) * (work.loads * own.load)
    seconds += _at_endpoint(config, work)
    saved = facts.parameters * 4.0 * 2 / 2e8 if step.stage.weights else 0.0  # written and hashed, at 200 MB/s
    seconds += Range(saved / 3, saved, saved * 2)
    prices, price = config.endpoint.prices, None
    if prices is not None and work.asked.requests:
        price = work.asked.sent * (prices.input / 1e6) + work.asked.received * (prices.output / 1e6)
    tokens = sum((part.tokens for part in work.parts), NOTHING)
    return StepForecast(
        step.name, step.stage.title, work.rows, tokens, seconds, _memory(config, step, work, roles, machine, models),
        _disk(config, step, work, facts, machine), work, price,
    )  # fmt: skip


def _at_endpoint(config: Config, work: Work) -> Range:
    """Requests at once by their latency, or by the limits that the config sets."""
    if not work.asked.requests:
        return NOTHING
    section, asked = config.endpoint, work.asked
    found = asked.requests * _LATENCY * (1 / section.concurrency)
    limits = []
    if section.requests_per_minute:
        limits.append(asked.requests * (60 / section.requests_per_minute))
    if section.tokens_per_minute:
        limits.append((asked.sent + asked.received) * (60 / section.tokens_per_minute))
    for limit in limits:
        found = Range(*(max(getattr(found, n), getattr(limit, n)) for n in ("low", "expected", "high")))
    return found


def _memory(
    config: Config, step: Step, work: Work, roles: Mapping[str, str | None], machine: Machine, models: _OtherModels
) -> Range:
    """Peak bytes: of the GPU if there is one, else of the process."""
    base = NOTHING if machine.gpu else _PROCESS * GB
    facts = models.facts
    if step.stage.trains is not None:
        section = _section(config, step)
        tokens = work.step_tokens if machine.gpu else min(work.step_tokens, _MOST_TOKENS)
        activations = (
            _ACTIVATION * facts.layers * facts.hidden * tokens * (0.2 if section.gradient_checkpointing else 1)
        )
        weights = facts.parameters * _WEIGHTS[section.method]
        if config.compute.sharding == "fsdp":
            weights /= config.compute.processes
        found = base + Range.exactly(weights) + Range(activations * 0.6, activations, activations * 2.2)
        if models.rates.memory is not None and machine.here and section.method == config.sft.method:
            # A few steps on one batch: a whole training meets larger ones, and its memory fragments.
            measured = models.rates.memory
            most = max(measured * 1.4, base.high + 16 * facts.parameters, found.high)
            return Range(measured * 0.9, max(measured * 1.05, found.expected), most)
        return found
    kinds = {part.kind for part in work.parts}
    if not kinds:
        return base if not step.light else NOTHING
    total = base
    for role in dict.fromkeys(part.role for part in work.parts):
        _, other = models.of(roles.get(role))
        total += Range(2.0, 2.2, 4.5) * other.parameters
    if "write" in kinds:
        total += Range(0.3, 1.0, 1.2) * (config.engine.cache_gib * 2**30)
    return total


def _disk(config: Config, step: Step, work: Work, facts: Facts, machine: Machine) -> Range:
    text = work.text * _TEXT
    made = NOTHING
    if step.stage.weights:
        made = Range.exactly(4.0 * facts.parameters)
        if not config.backtranslation.keep_models and re.match(r"backward|forward", step.label):
            made = NOTHING
    # An engine's own file of the weights, made beside the model that it is made of when that is first asked.
    converted = 2.0 * facts.parameters if step.stage.weights and not machine.gpu and step.stage.trains else 0.0
    return text + made + Range(0.0, converted, converted)


def _section(config: Config, step: Step) -> Any:
    return attrgetter(str(step.stage.trains))(config)
