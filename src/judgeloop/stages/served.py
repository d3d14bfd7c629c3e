"""Can the server of engine.kind: server serve every model that the run is to make? Asked before the first stage, for
the first adapter may come to be loaded after hours."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from judgeloop.config import Config, TrainingSection
from judgeloop.errors import InputError
from judgeloop.run.directory import RunDirectory
from judgeloop.run.stage import Frozen, Step
from judgeloop.stages.model import base_folder
from judgeloop.stages.players import outside_roles

MOST = 512  # vLLM's largest --max-lora-rank
_WHOLE = "set engine.kind: vllm, which loads whole models"


def require_adapters(config: Config, steps: Sequence[Step]) -> None:
    """Raise InputError if one of the models is not to be made of the base by adapters that are kept."""
    for key in sorted({step.stage.trains for step in steps if step.stage.trains is not None}):
        section = _section(config, key)
        if section.method != "lora":
            raise InputError(
                f"{key}.method: {section.method}, and a running server cannot be given whole weights (vLLM's "
                f"reload_weights answers with a mixture of old and new ones); set {key}.method: lora, or {_WHOLE}"
            )
        if not section.lora.keep_adapter:
            raise InputError(
                f"{key}.lora.keep_adapter: false, and a running server is given adapters; set it to true, or {_WHOLE}"
            )
        if section.save_dtype != "f32":
            raise InputError(
                f"{key}.save_dtype: {section.save_dtype} rounds what the adapters add to the weights, and a running "
                f"server would not; set it to f32, or {_WHOLE}"
            )
    if config.train.early_stopping.every is not None:
        raise InputError(
            "train.early_stopping.every: was not tried with engine.kind: server, which would keep every checkpoint's "
            f"adapters; set it to null, or {_WHOLE}"
        )
    if config.compute.cluster is not None:
        raise InputError(
            "compute.cluster: was not tried with engine.kind: server; set it to null (the server can spread over "
            f"machines itself), or {_WHOLE}"
        )
    for step, role, given in outside_roles(steps):
        if isinstance(given, Frozen):
            raise InputError(
                f"engine.kind: server serves models of this run alone, and {given.path} is to be {role} in "
                f"{step.name}; name a model of the run or one behind an endpoint, or {_WHOLE}"
            )
    if (rank := highest_rank(config, steps)) > MOST:
        raise InputError(
            f"engine.kind: server adds up the ranks of successive trainings, {rank} for the last model, and vLLM takes "
            f"{MOST}; lower train.lora.rank or iterations, or {_WHOLE}"
        )


def highest_rank(config: Config, steps: Sequence[Step]) -> int:
    """The rank of the last model's adapters on the base: those of the trainings that make it, one after the other."""
    found = [0]
    for step in steps:
        if step.stage.trains is not None:
            own = _section(config, step.stage.trains).lora.rank
            before = config.sft.lora.rank + own * (_number(step) - 2) if step.stage.trains == "train" else 0
            found.append(before + own)
    return max(found)


def check_served(run: RunDirectory) -> None:
    """Have the server load an adapter of the highest rank that changes nothing, and ask with it. Raises InputError if
    it is not there, serves another base model, or cannot do so."""
    from judgeloop.engines.server_check import check

    config, steps = run.config, list(run.steps.values())
    made = run.maker("M0")
    base = run.base_weights() if run.state(made) == "done" else base_folder(config)[1]
    targets = {
        _section(config, step.stage.trains).lora.target_modules for step in steps if step.stage.trains is not None
    }
    with tempfile.TemporaryDirectory(dir=run.path, prefix="check-") as scratch:
        adapter = Path(scratch) / f"judgeloop-check-{uuid.uuid4().hex}"
        check(config.engine.server, base, highest_rank(config, steps), sorted(targets), adapter)


def _section(config: Config, key: str) -> TrainingSection:
    section: object = config
    for part in key.split("."):
        section = getattr(section, part)
    assert isinstance(section, TrainingSection)
    return section


def _number(step: Step) -> int:
    return int(step.model.removeprefix("M"))
