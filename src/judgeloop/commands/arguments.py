"""What several commands take, and how they find a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from judgeloop.errors import InputError


def _configs(incomplete: str) -> list[str]:
    """Shipped configs that begin so; files are completed by the shell."""
    return [name for name in shipped_configs() if name.startswith(incomplete)]


def _keys(incomplete: str) -> list[str]:
    """Keys for --set that begin so, up to the next section."""
    from judgeloop.config import known_keys

    found = [key for key in known_keys() if key.startswith(incomplete)]
    depth = incomplete.count(".")
    sections = {key.rpartition(".")[0] for key in known_keys()}
    return [f"{key}." if key in sections else f"{key}=" for key in found if key.count(".") == depth]


ConfigName = Annotated[
    str,
    typer.Argument(metavar="CONFIG", help="a YAML file, or the name of a shipped config", autocompletion=_configs),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key", autocompletion=_keys)
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="the run directory")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for other programs")]


def _known_engine(name: str | None) -> str | None:
    from judgeloop.config.choices import ENGINES  # the config is not needed for --help

    if name is not None and name not in ENGINES.names():
        raise typer.BadParameter(f"'{name}' is not one of {', '.join(ENGINES.names())}")
    return name


EngineName = Annotated[
    str | None,
    typer.Option("--engine", callback=_known_engine, help="what runs local models [as in the model's run, or auto]"),
]
EngineKeys = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="engine.KEY=VALUE", help="a key of the section engine [as in the model's run]"),
]
Scoring = Literal["sampled", "expected"]
Language = Literal["en", "zh"]
JudgeScoring = Annotated[
    Scoring | None,
    typer.Option("--scoring", help="K written judgements, or the expected score [as learnt, or expected]"),
]
JudgeRubric = Annotated[
    str | None, typer.Option("--rubric", help="a shipped rubric or a template file [as learnt, or what fits --scoring]")
]
JudgeLanguage = Annotated[
    Language | None, typer.Option("--language", help="language of a shipped rubric [as learnt, or en]")
]


def config_path(given: str) -> Path:
    """A file, or a config that ships with judgeloop by its name."""
    path = Path(given)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return path
    known = shipped_configs()
    if given not in known:
        raise InputError(f"{given}: no such config; give a YAML file, or one of {', '.join(sorted(known))}")
    return known[given]


def shipped_configs() -> dict[str, Path]:
    """The configs that ship with judgeloop, by name: in the package, or beside it in a checkout."""
    here = Path(__file__).resolve().parents[1]
    folders = (here.parents[1] / "configs", here / "configs")  # the package's own goes first
    return {path.stem: path for folder in folders for path in folder.glob("*.yaml")}


Endpoint = Annotated[
    str | None, typer.Option("--endpoint", metavar="URL", help="the judge is a model of this OpenAI-compatible API")
]
KeyVariable = Annotated[str, typer.Option(metavar="NAME", help="environment variable with the endpoint's API key")]
Concurrency = Annotated[int, typer.Option(min=1, help="requests to the endpoint at once")]
Timeout = Annotated[float, typer.Option(min=0.001, help="seconds after which the endpoint is asked again")]
