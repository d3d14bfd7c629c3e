"""`judgeloop plan`: reads the seed, measures the machine unless it has before, and says what a run will cost. And what
a run says of it before its first stage, from what is remembered or by arithmetic."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

from judgeloop.config import Config
from judgeloop.forecast import texts, wording
from judgeloop.forecast.concerns import concerns
from judgeloop.forecast.estimate import Forecast, forecast
from judgeloop.forecast.machine import Machine, this_machine
from judgeloop.forecast.rates import (
    BUSY,
    Calibration,
    Facts,
    Rates,
    calibration_from,
    calibration_key,
    calibration_text,
    combined,
    reckoned,
    remember,
    remembered,
)
from judgeloop.forecast.work import Sizes
from judgeloop.models.contents import content_hash
from judgeloop.models.resolve import known_models
from judgeloop.models.words import PlainTokens
from judgeloop.run.methods import METHODS
from judgeloop.run.stage import LOOP, Step
from judgeloop.seed.build import SeedData

SECONDS = 60.0  # a calibration may take
_QUICK_BYTES = 3e6  # of rows, that a run reads for its three lines
_SHOWN_ROWS = 400  # that a calibration is given


def plan(
    config: Config,
    out: Path,
    *,
    machine: Machine | None = None,
    seconds: float = SECONDS,
    recalibrate: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Forecast:
    """What the run will cost on this machine, or on a GPU that is not here (`machine`). `seconds` bound the
    calibration; 0: arithmetic alone. `recalibrate` measures what is remembered again. Raises InputError for a config,
    model or seed that the run could not use."""
    from judgeloop.models.chat import Chat
    from judgeloop.models.check_folder import require_trainable
    from judgeloop.models.resolve import resolve

    steps = METHODS[LOOP](config)
    model = resolve(config.model, revision=config.revision, trust_remote_code=config.trust_remote_code)
    facts = Facts.of(model.path)
    here = machine or this_machine(config.threads)
    known = remembered("sizes", signature := texts.signature(config, model.hash))
    measured = None
    key = calibration_key(config, here, model.hash)
    if here.here and seconds and not recalibrate:
        measured = calibration_from(remembered("rates", key))
    if known is None or (here.here and seconds and measured is None):
        day = date.today().isoformat()
        require_trainable(model.path, trust_remote_code=config.trust_remote_code)
        chat = Chat.load(
            model.path, chat_template=config.chat_template, system_prompt=config.system_prompt,
            thinking=config.thinking, date=day, trust_remote_code=config.trust_remote_code,
        )  # fmt: skip
        chat.require_sound()
        say("reading the seed")
        seed = texts.read_seed(config)
        known = texts.as_json(texts.sizes(config, seed, chat))
        remember("sizes", signature, known)
        if here.here and seconds and measured is None:
            say(f"measuring this machine with this model, at most {seconds:.0f} s, once")
            measured = _measure(config, model.path, day, seed, reckoned(here, facts), seconds)
            if measured.tokens and measured.busy <= BUSY:
                remember("rates", key, calibration_text(measured))
    rates = combined(here, facts, measured, config.sft.freeze_layers)
    counted = texts.from_json(known)
    found = forecast(config, steps, counted, here, rates, facts)
    return _with_concerns(config, found, steps, out, measured, counted.evaluated)


def _measure(config: Config, folder: Path, day: str, seed: SeedData, guess: Rates, seconds: float) -> Calibration:
    from judgeloop.forecast.calibration import calibrate

    rows = [*seed.ift[:_SHOWN_ROWS], *seed.eft[:_SHOWN_ROWS]]
    prompts = [row.prompt for row in seed.ift[:_SHOWN_ROWS]] or [one.messages for one in seed.eft_sets[:_SHOWN_ROWS]]
    return calibrate(config, folder, day, rows, prompts, guess, seconds)


def _with_concerns(
    config: Config, found: Forecast, steps: list[Step], out: Path, measured: Calibration | None, evaluated: int
) -> Forecast:
    warnings = list(concerns(config, found, steps, out, evaluated))
    if measured is not None and measured.failed:
        kinds: dict[str, list[str]] = {}
        for kind, why in measured.failed.items():
            kinds.setdefault(why, []).append(kind)
        told = "; ".join(f"{', '.join(names)}: {why}" for why, names in kinds.items())
        warnings.append(f"not measured but reckoned: {told}")
    if measured is not None and measured.tokens and measured.busy > BUSY:
        warnings.append(
            f"other programs took up to {measured.busy:.0%} of the processor while it was measured, which was taken "
            "off; it is not remembered: plan again when the machine is idle"
        )
    return Forecast(found.machine, found.rates, found.steps, found.checkpoint, tuple(warnings))


def said_before(config: Config, steps: list[Step], out: Path) -> list[str]:
    """The three lines of a run, and its warnings; none if the rows are too many to be read for that, or the model is
    not on this machine yet. What a busy machine takes for them is no reason to keep silent. Never raises: a plan is no
    part of a run."""
    with contextlib.suppress(Exception):
        folder = _local(config.model)
        if folder is None:
            return []
        digest = content_hash(folder)
        facts, here = Facts.of(folder), this_machine(config.threads)
        found = _quick_sizes(config, folder, digest)
        if found is None:
            return []
        measured = calibration_from(remembered("rates", calibration_key(config, here, digest)))
        rates = combined(here, facts, measured, config.sft.freeze_layers)
        made = forecast(config, steps, found, here, rates, facts)
        told = _with_concerns(config, made, steps, out, None, found.evaluated)
        endpoint = wording.endpoint_line(told)
        return [*wording.lines(told), *([endpoint] if endpoint else []), *(f"plan: {w}" for w in told.warnings)]
    return []


def _quick_sizes(config: Config, folder: Path, digest: str) -> Sizes | None:
    known = remembered("sizes", texts.signature(config, digest))
    if known is not None:
        return texts.from_json(known)
    named = [Path(name) for name in texts.named_rows(config)]
    if not all(path.is_file() for path in named) or sum(path.stat().st_size for path in named) > _QUICK_BYTES:
        return None  # on the hub, or too much to read
    if not (folder / "tokenizer.json").is_file():
        return None
    return texts.sizes(config, texts.read_seed(config), PlainTokens(folder))


def _local(model: str) -> Path | None:
    """The folder of a model that is on this machine already."""
    from judgeloop.models.resolve import find

    present = {known["name"]: known["present"] for known in known_models()}
    if model in present:
        return find(model) if present[model] else None
    path = Path(model).expanduser()
    return path if (path / "config.json").is_file() else None
