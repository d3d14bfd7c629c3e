"""The loop from Python: run it, judge rows, measure a judge, and read what a run left. `import judgeloop` has these
functions; nothing heavy is loaded before one of them needs it.

Each does what the command of its name does, with the same defaults, and raises `judgeloop.errors.InputError` where that
ends with exit code 2.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from judgeloop.errors import InputError
from judgeloop.jsonl import write_rows_atomically

if TYPE_CHECKING:
    from judgeloop.config import Config
    from judgeloop.report.reading import RunFiles

Row = dict[str, Any]
Frame = Literal["rows", "pandas", "polars"]
_EVALUATION, _STAGES, _LOSSES = "evaluation", "stages", "metrics"  # tables that no file holds as they are


def run(
    config: str | Path | Mapping[str, Any] | Config,
    out: str | Path | None = None,
    *,
    set: Sequence[str] = (),
    redo: Sequence[str] = (),
    quiet: bool = False,
) -> Run:
    """Run the loop and return what it left; a run directory that is there already goes on.

    `config`: a YAML file, the name of a shipped config, a tree of plain values, or a Config. `out`: the run directory;
    a tree or a Config without `out` of its own needs it. `set`: overrides, "key=value" (of a file or a name). `quiet`:
    print nothing.
    """
    from rich.console import Console

    from judgeloop.commands.arguments import config_path
    from judgeloop.config import Config, load, parse
    from judgeloop.run.display import TerminalDisplay
    from judgeloop.run.driver import execute

    name = None
    if set and not isinstance(config, (str, Path)):
        raise InputError("judgeloop.run: set goes with a config file; change the tree itself")
    if isinstance(config, Config):
        settings = config
    elif isinstance(config, Mapping):
        settings = parse(config, "judgeloop.run")
    else:
        path = config_path(str(config))
        settings, name = load(path, list(set)), path.stem
    folder = out or settings.out or (Path("runs") / name if name is not None else None)
    if folder is None:
        raise InputError("judgeloop.run: no run directory; name one: run(config, 'runs/mine')")
    # In a notebook rich would make each line an output of its own, and show it although it is to be quiet.
    console = Console(highlight=False, file=io.StringIO() if quiet else None, force_jupyter=False)
    execute(settings, Path(folder), TerminalDisplay(console), list(redo))
    return open_run(folder)


def judge(rows: Iterable[Mapping[str, Any]], model: str, **options: Any) -> list[Row]:
    """The rows, each with `score` (None if no judgement could be read) and `samples`, in their order.

    `rows` have a `prompt` and a `response`, or the fields of any layout of docs/data.md. `options` are those of
    `judgeloop judge`: scoring, samples, rubric, language, justification, engine, endpoint, overrides, …
    """
    from judgeloop.commands.judge import judge as command

    with tempfile.TemporaryDirectory() as folder:
        given, scored = Path(folder) / "rows.jsonl", Path(folder) / "scored.jsonl"
        write_rows_atomically(given, [dict(row) for row in rows])
        _answer(command, model=model, in_=given, out=scored, as_json=True, **options)
        return [json.loads(line) for line in scored.read_text(encoding="utf-8").splitlines()]


def agreement(rows: Iterable[Mapping[str, Any]] | str | Path, model: str | None = None, **options: Any) -> Row:
    """How far a judge agrees with ranks: pairwise accuracy, exact match, Spearman, … with intervals.

    `rows`: ranked responses, `{"prompt", "responses": [{"text", "rank"}]}`, or a file of them. Without a `model` the
    responses have a `score` already. `options` are those of `judgeloop eval agreement`.
    """
    from judgeloop.commands.evaluate import agreement as command

    with tempfile.TemporaryDirectory() as folder:
        path = Path(rows) if isinstance(rows, (str, Path)) else Path(folder) / "ranked.jsonl"
        if not isinstance(rows, (str, Path)):
            write_rows_atomically(path, [dict(row) for row in rows])
        said = _answer(command, in_=path, model=model, scored=model is None, as_json=True, **options)
    found: Row = json.loads(said)
    if not isinstance(rows, (str, Path)):
        del found["input"]  # a file of ours
    return found


def _answer(command: Callable[..., None], **arguments: Any) -> str:
    """What a command prints."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            command(**arguments)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise InputError(f"judgeloop.{command.__name__}: {error}; --help of the command lists its options") from error
    return said.getvalue()


def open_run(path: str | Path) -> Run:
    """A run directory, finished or not. Raises InputError if `path` is none."""
    return Run(Path(path))


class Run:
    """What a run left. Everything is read from the files when it is asked for."""

    def __init__(self, path: Path) -> None:
        from judgeloop.report.reading import RunFiles

        self.path = path
        self._files: RunFiles = RunFiles(path)

    def __repr__(self) -> str:
        return f"<judgeloop run {self.path}: {', '.join(self.models)}>"

    @property
    def models(self) -> list[str]:
        """The models that the run makes, M0 first."""
        return self._files.models()

    @property
    def config(self) -> Row:
        """The whole config, defaults included."""
        return self._files.config()

    @property
    def summary(self) -> Row:
        """What summary.json says, as the run is now."""
        from judgeloop.report.summary import summarise

        return summarise(self.path)

    @property
    def verdict(self) -> list[str]:
        """The report's first three sentences: which model to use, what shows it, what speaks against it."""
        from judgeloop.report.verdict import verdict

        return verdict(self.summary)

    def model(self, name: str = "best") -> Path:
        """The folder of a model's weights; `best` is the one that the run recommends."""
        place = self.path / name if name == "best" else self.path / name / "model"
        if name == "M0":
            base = self._files.json("M0/model.json") or {}
            place = Path(str(base.get("path", place)))
        if not (place / "config.json").is_file():
            raise InputError.at(self.path, None, f"has no model {name}", f"the run makes {', '.join(self.models)}")
        return place.resolve()

    def tables(self) -> list[str]:
        """Names for `table`: the row files that are there, and three made of the others."""
        found = {
            path.name.removesuffix(".jsonl") for name in self.models for path in (self.path / name).glob("*.jsonl")
        }
        return [_EVALUATION, _STAGES, _LOSSES, *sorted(found)]

    def table(self, name: str, frame: Frame = "rows") -> Any:
        """A table as a list of dicts, or as a data frame of pandas or Polars; `model` is its first column.

        "pairs", "candidates", "judgements", "prompts", "ift", "eft", … are the rows of these files, of all models;
        "metrics" are the steps of the trainings; "evaluation" has a row for each model and metric with its interval;
        "stages" has their seconds and rows.
        """
        if name not in self.tables():
            raise InputError.at(self.path, None, f"has no table '{name}'", f"there are {', '.join(self.tables())}")
        made = {_EVALUATION: self._evaluation, _STAGES: self._stages, _LOSSES: self._losses}
        rows = made[name]() if name in made else self._rows(name)
        return _framed(rows, frame)

    def _rows(self, name: str) -> list[Row]:
        files = self._files
        return [{"model": model, **row} for model in self.models for row in files.rows(f"{model}/{name}.jsonl")]

    def _losses(self) -> list[Row]:
        return list(self._files.rows("metrics.jsonl"))

    def _evaluation(self) -> list[Row]:
        return [
            {"model": model["name"], "metric": name, "label": metric["label"], "better": metric["better"],
             **metric["value"], "change": ((metric.get("versus") or {}).get("value") or {}).get("value")}
            for model in self.summary["models"] for name, metric in model["metrics"].items() if metric["value"]
        ]  # fmt: skip

    def _stages(self) -> list[Row]:
        found = []
        for model in self.models:
            for stage in self._files.finished_stages(model):
                marker = self._files.json(f"{model}/.{stage['stage']}.done.json") or {}
                found.append({"model": model, **stage, "rows": marker.get("rows")})
        return found


def _framed(rows: list[Row], frame: Frame) -> Any:
    if frame == "rows":
        return rows
    if frame not in ("pandas", "polars"):
        raise InputError(f"frame: '{frame}' is none of rows, pandas, polars")
    import importlib

    try:
        library = importlib.import_module(frame)
    except ImportError as error:
        raise InputError(f"frame: {frame} is not installed; pip install {frame}, or leave frame out") from error
    return library.DataFrame(rows) if frame == "pandas" else library.DataFrame(rows, infer_schema_length=None)
