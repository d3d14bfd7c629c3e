"""`judgeloop models` and `judgeloop doctor`: what is on this machine and what it can do."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from judgeloop.commands.arguments import AsJson
from judgeloop.errors import InputError

if TYPE_CHECKING:
    from judgeloop.config.tree import Thinking

models_app = typer.Typer(help="Models known by a short name.", no_args_is_help=True)


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """The models known by a short name, and whether they are on this machine."""
    from judgeloop.models.resolve import known_models

    rows = known_models()
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['name']:<24} {'here' if row['present'] else 'not fetched yet':<16} {row['about']}")
    typer.echo("Any local model folder or hub id can be given as 'model' too.")


@models_app.command("pull")
def models_pull(name: Annotated[str, typer.Argument(metavar="NAME", help="an alias or a hub id")]) -> None:
    """Fetch a model before it is needed."""
    from judgeloop.models.resolve import resolve

    typer.echo(resolve(name).path)


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="an alias, a folder, a GGUF file or a hub id")],
    chat_template: Annotated[
        str | None, typer.Option(help="as the config's key: plain, chatml, chatml+tokens or a Jinja file")
    ] = None,
    thinking: Annotated[str, typer.Option(help="as the config's key: auto, on or off")] = "auto",
    revision: Annotated[str | None, typer.Option(help="branch, tag or commit of a hub model")] = None,
    trust_remote_code: Annotated[bool, typer.Option(help="run code that comes with the model")] = False,
    as_json: AsJson = False,
) -> None:
    """What a model is, what will run it, what it needs, and every problem found. Exit code 2 if there is one."""
    from judgeloop.models.show import lines, report

    if thinking not in ("auto", "on", "off"):
        raise InputError(f"--thinking: '{thinking}' is not one of auto, on, off")
    found = report(
        name,
        _engine_for,
        revision=revision,
        trust_remote_code=trust_remote_code,
        chat_template=chat_template,
        thinking=cast("Thinking", thinking),
    )
    typer.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False) if as_json else "\n".join(lines(found)))
    if found.problems:
        raise typer.Exit(2)


def _engine_for(folder: Path) -> str:
    """The engine that `engine.kind: auto` picks for this model here, and why if it is not the fastest."""
    from judgeloop.engines import pick

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        kind = pick(folder)
    return "; ".join([kind, *(str(warning.message) for warning in said)])


def doctor(as_json: AsJson = False) -> None:
    """What this machine can run, and what is missing."""
    from judgeloop.commands.examine_machine import examine

    findings = examine()
    if as_json:
        typer.echo(json.dumps([vars_of(f) for f in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(f"{finding.state:<8} {finding.subject:<22} {finding.detail}")
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def vars_of(finding: Any) -> dict[str, str]:
    """A finding as plain values."""
    return {"subject": finding.subject, "state": finding.state, "detail": finding.detail}
