"""`judgeloop plan`: what a run will cost, before it starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from judgeloop.commands.arguments import AsJson, ConfigName, Overrides, config_path


def plan(
    config: ConfigName,
    out: Annotated[Path | None, typer.Option(help="run directory; default: runs/<name of the config>")] = None,
    overrides: Overrides = None,
    gpu: Annotated[
        str | None, typer.Option(metavar="NAME", help="for a GPU that is not here, such as H100: by its data sheet")
    ] = None,
    seconds: Annotated[
        float, typer.Option("--calibrate", metavar="SECONDS", min=0, help="time to measure this machine; 0: reckon")
    ] = 60.0,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="measure this machine again; it may be quieter or busier by now")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What a run will take: rows, tokens, time, memory, disk, and what an endpoint will cost. Measures this machine
    with this model once, for at most a minute; the next plan is instant (--recalibrate measures again)."""
    from rich.console import Console
    from rich.table import Table

    from judgeloop.config import load
    from judgeloop.forecast import wording
    from judgeloop.forecast.machine import named_gpu
    from judgeloop.forecast.planning import plan as make
    from judgeloop.report.printing import say

    path = config_path(config)
    settings = load(path, overrides or [])
    folder = out or (Path(settings.out) if settings.out else Path("runs") / path.stem)
    progress = Console(stderr=True, highlight=False)
    machine = named_gpu(gpu) if gpu is not None else None
    found = make(
        settings, folder, machine=machine, seconds=seconds, recalibrate=recalibrate,
        say=lambda text: say(progress, text),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
        return
    console = Console(highlight=False)
    table = Table("step", "what", box=None)
    for name in ("rows", "tokens", "about", "from … to", "GB"):
        table.add_column(name, justify="right")
    for row in wording.cells(found):
        table.add_row(*row)
    console.print(table)
    say(console, f"on {found.machine.name}")
    endpoint = wording.endpoint_line(found)
    unknown = {f"{step.work.unknown}" for step in found.steps if step.work.unknown}
    for line in (*wording.lines(found, planning=True), *([endpoint] if endpoint else [])):
        say(console, line.removeprefix("plan: "))
    if unknown:
        say(console, f"not known before: {'; '.join(sorted(unknown))}")
    for warning in found.warnings:
        say(console, f"warning: {warning}")
