"""Which finished model of a run is meant: one by its name, or the one that the run recommends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from judgeloop.config import Config
from judgeloop.errors import InputError
from judgeloop.run import seals, stopping
from judgeloop.run.directory import RunDirectory, open_run
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.methods import steps_of

BEST = "best"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model of a run, whole and unchanged since it was made; `why` says why it is the one, if the run chose it."""

    run: RunDirectory
    name: str
    folder: Path
    why: str | None = None

    @property
    def config(self) -> Config:
        return self.run.config

    @property
    def base(self) -> Path:
        """The folder of M0; where it was when the run began, if it is gone."""
        return self.run.base_weights()


def opened(path: Path) -> RunDirectory:
    """The run in a folder. Raises InputError if it is none."""
    config, facts = open_run(path)
    return RunDirectory(path, config, steps_of(facts["method"], config, path))


def choose(path: Path, model: str = BEST) -> Chosen:
    """Raises InputError for a model that is not made yet, is gone, or is not what was made."""
    run, why = opened(path), None
    if model == BEST:
        file = path / stopping.FILE
        if not file.exists():
            raise InputError(f"{path}: has not decided which model is best; let the run end, or give --model M1")
        decision = read_json(file)
        if decision.get("best") is None:
            raise InputError(f"{path}: recommends none of its models ({decision['reason']}); give --model M1, M2, …")
        model, why = str(decision["best"]), decision.get("why_best")
    try:
        step = run.maker(model)
    except KeyError:
        names = dict.fromkeys(s.model for s in run.steps.values() if s.weights in ("", "model"))
        raise InputError(f"--model: {path} makes no '{model}'; choose best, {', '.join(names)}") from None
    if not run.marker(step, "done").exists():
        raise InputError(f"{path}: {model} is not made yet; go on with `judgeloop run`, or choose an earlier model")
    seals.verify(run, step)
    folder = run.weights(step)
    if not (folder / "config.json").is_file():  # M0, which is looked for anew
        raise InputError(f"{folder}: {model}'s folder is gone; put it back, or choose another model")
    return Chosen(run, model, folder, why)
