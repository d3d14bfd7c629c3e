"""Whether a training is over in some seconds, which are too few for an interpreter of its own."""

from __future__ import annotations

from operator import attrgetter

from judgeloop.run.directory import RunDirectory
from judgeloop.run.stage import Artifact, Step

_SHORT = 1e11  # floating-point operations: some seconds on two cores, also for a tiny model, which computes slowly
_BYTES_A_TOKEN = 4
_BYTES_A_WEIGHT = 2


def is_short(run: RunDirectory, step: Step) -> bool:
    """Reckoned, rather too long, from the bytes of M0's weights and of all rows that the training is given; False
    where the weights are gone. What rows are missing, the training says."""
    weights = sum(path.stat().st_size for path in run.base_weights().glob("*.safetensors")) / _BYTES_A_WEIGHT
    given = {each for inputs in step.given.values() for each in inputs if isinstance(each, Artifact)}
    files = [run.folder_of(each.step) / each.file for each in given]
    tokens = sum(path.stat().st_size for path in files if path.suffix == ".jsonl" and path.exists()) / _BYTES_A_TOKEN
    epochs: float = attrgetter(str(step.stage.trains))(run.config).epochs
    return 0 < 6 * weights * tokens * epochs < _SHORT
