"""What a run directory can be made by: the loop, or a part of it on its own. A run's run.json says which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from judgeloop.config import Config
from judgeloop.errors import InputError
from judgeloop.loop import method, new_prompts
from judgeloop.run.plan import Plan
from judgeloop.run.stage import LOOP, Step, upstream
from judgeloop.stages.backtranslation import BACKTRANSLATED
from judgeloop.stages.model import MODEL
from judgeloop.stages.seed import SEED
from judgeloop.stages.training import SFT


def instruction_making(config: Config) -> list[Step]:
    """New prompts once, without a loop: the model, the seed, and the prompts. Who writes them (prompts.role) is the
    config's model if it says `current`; M1 is made first if it says so."""
    whole = method(config.model_copy(update={"iterations": 0}))
    plan = Plan(config)
    plan.steps = upstream(whole, "M1/sft" if config.prompts.role == "M1" else "M1/seed")
    m0, seed = (next(s for s in whole if s.stage is stage) for stage in (MODEL, SEED))
    last = plan.steps[-1]
    current, new = (last, "M2") if last.stage is SFT else (m0, "M1")
    new_prompts(plan, new, current, seed, [])
    return plan.steps


def backtranslation(config: Config) -> list[Step]:
    """The steps that lead to backtranslated rows, and no others. Raises InputError if the config names no texts."""
    if not config.backtranslation.texts:
        raise InputError("backtranslation.texts names no texts; name folders or files")
    return upstream(method(config), f"M1/{BACKTRANSLATED.name}")


INSTRUCTIONS, BACKTRANSLATION = "instructions", "backtranslation"
METHODS: dict[str, Callable[[Config], list[Step]]] = {
    LOOP: method, INSTRUCTIONS: instruction_making, BACKTRANSLATION: backtranslation,
}  # fmt: skip


def steps_of(name: str, config: Config, origin: Path) -> list[Step]:
    """The steps that the run in `origin` takes by its run.json. Raises InputError if nothing here makes such runs."""
    if name not in METHODS:
        raise InputError.at(
            origin, None, f"was made by '{name}', which this judgeloop does not know", "use another one"
        )
    return METHODS[name](config)
