"""What will not do: memory, disk and prompts to evaluate on, each with the key that mends it."""

from __future__ import annotations

from pathlib import Path

from judgeloop.config import Config
from judgeloop.forecast.estimate import GB, Forecast, StepForecast
from judgeloop.forecast.machine import free_disk
from judgeloop.run.stage import Step


def concerns(config: Config, found: Forecast, steps: list[Step], out: Path, evaluated: int) -> tuple[str, ...]:
    """Sentences; empty if all should do. `evaluated` prompts are there to evaluate on."""
    said = list(few_prompts(config, evaluated)) if any(step.stage.measures for step in steps) else []
    kinds = {step.name: step for step in steps}
    where = f"{found.machine.name} has {found.machine.memory / GB:.0f}"
    for section in dict.fromkeys(kinds[s.name].stage.trains for s in found.steps):
        of = [s for s in found.steps if kinds[s.name].stage.trains == section]
        worst = max(of, key=lambda s: s.memory.expected)
        if worst.memory.expected > found.machine.memory or worst.memory.high > 1.05 * found.machine.memory:
            surely = worst.memory.low > found.machine.memory
            may = "will not fit into" if surely else "may not fit into"
            said.append(
                f"{worst.name} {may} memory: about {worst.memory.expected / GB:.1f} GB (up to "
                f"{worst.memory.high / GB:.1f}), and {where} GB; {_remedy(config, section, worst)}"
            )
    if found.machine.here:
        free = free_disk(out)
        if found.disk.expected > free:
            said.append(
                f"the disk is too small: about {found.disk.expected / GB:.1f} GB will be written to {out}, and "
                f"{free / GB:.1f} GB are free there; choose another --out, lower iterations, or set checkpoint_steps: "
                "null in sft and train"
            )
    return tuple(said)


def _remedy(config: Config, section: str | None, step: StepForecast) -> str:
    """What lowers the memory of this step."""
    if section is None:
        if any(part.kind == "write" for part in step.work.parts) and config.engine.cache_gib > 1:
            return "lower engine.cache_gib, or choose a smaller model"
        return "choose a smaller model"
    training = config
    for part in section.split("."):
        training = getattr(training, part)
    method = getattr(training, "method")  # noqa: B009  (the sections have no common type here)
    if method == "full":
        return f"set {section}.method: lora, or lower {section}.batch_size and {section}.max_length"
    if not getattr(training, "gradient_checkpointing"):  # noqa: B009
        return f"set {section}.gradient_checkpointing: true, or lower {section}.batch_size"
    return f"lower {section}.batch_size or {section}.max_length, or choose a smaller model"


def few_prompts(config: Config, evaluated: int) -> tuple[str, ...]:
    """A sentence if there are too few prompts to evaluate on: by fewer than `stop.min_count` the run itself will decide
    nothing."""
    if evaluated >= min(config.stop.min_count, config.evaluation.count):
        return ()
    more = (
        "add rows to evaluation.prompts"
        if config.evaluation.prompts
        else "name a file of others in evaluation.prompts (init: --held-out), or raise seed_data.held_out_share"
    )
    return (
        f"{evaluated} prompts to evaluate on, of the {config.evaluation.count} of evaluation.count: too few to see a "
        f"gain; {more}",
    )
