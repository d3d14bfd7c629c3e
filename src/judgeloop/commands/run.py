"""`judgeloop run`, `status` and `report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from judgeloop.commands.arguments import AsJson, ConfigName, Overrides, RunFolder, config_path
from judgeloop.errors import InputError


def run(
    config: ConfigName,
    out: Annotated[Path | None, typer.Option(help="run directory; default: runs/<name of the config>")] = None,
    overrides: Overrides = None,
    redo: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP", help="make anew: M2/judge, M2 or judge, with all made from it; the old is kept"),
    ] = None,
) -> None:
    """Run the loop: M1 by SFT, then M2, M3, … on the model's own judgements. Started again, it goes on."""
    from rich.console import Console

    from judgeloop.config import load
    from judgeloop.report.terminal import print_ending
    from judgeloop.run.display import TerminalDisplay
    from judgeloop.run.driver import execute
    from judgeloop.training import distributed

    path = config_path(config)
    settings = load(path, overrides or [])
    folder = out or (Path(settings.out) if settings.out else Path("runs") / path.stem)
    console = Console(highlight=False)
    execute(settings, folder, TerminalDisplay(console), redo or [])
    if distributed.is_main():  # else torchrun started more than one, and this one only helped to train
        print_ending(console, folder)


def status(run: RunFolder, as_json: AsJson = False) -> None:
    """How far a run is: which steps are done, begun, missing, or gone (finished once, and removed since), and how long
    they took."""
    from rich.console import Console
    from rich.table import Table

    from judgeloop.report.concerns import decided
    from judgeloop.report.printing import say
    from judgeloop.run import seals, stopping
    from judgeloop.run.directory import RunDirectory, open_run
    from judgeloop.run.json_artifacts import read_json
    from judgeloop.run.methods import steps_of

    config, facts = open_run(run)
    directory = RunDirectory(run, config, steps_of(facts["method"], config, run))
    rows: list[dict[str, Any]] = []
    gone = seals.gone(directory, list(directory.steps.values()))
    for step in directory.steps.values():
        state = "gone" if step.name in gone else directory.state(step)
        marker = read_json(directory.marker(step, "done")) if state == "done" else {}
        seconds = marker.get("seconds", directory.spent(step) or None)
        rows.append({"step": step.name, "state": state, "rows": marker.get("rows"), "seconds": seconds})
    decision = read_json(run / stopping.FILE) if (run / stopping.FILE).exists() else None
    stopped = decision is not None and bool(decision["stopped"])
    complete = stopped or all(row["state"] in ("done", "gone") for row in rows)
    following = None if stopped else next((row["step"] for row in rows if row["state"] not in ("done", "gone")), None)
    if as_json:
        found = {"run": str(run), "complete": complete, "next": following, "decision": decision, "steps": rows}
        typer.echo(json.dumps(found, indent=2))
        return
    table = Table("step", "state")
    table.add_column("rows", justify="right")
    table.add_column("seconds", justify="right")
    for row in rows:
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        table.add_row(row["step"], row["state"], "" if row["rows"] is None else str(row["rows"]), seconds)
    console = Console(highlight=False)
    console.print(table)
    console.print("complete" if complete else f"next: {following}")
    if decision is not None:
        for sentence in decided(decision):
            say(console, sentence)


def report(run: RunFolder) -> None:
    """Write the run's report.html (one file, opens offline) and summary.json anew."""
    from judgeloop.report.page import write_reports
    from judgeloop.run.directory import open_run
    from judgeloop.run.json_artifacts import REDO, read_json
    from judgeloop.run.stage import LOOP

    _, facts = open_run(run)
    if facts["method"] != LOOP:
        raise InputError.at(run, None, f"holds the steps of '{facts['method']}', not of the loop", "name another run")
    typer.echo(write_reports(run))
    warnings = read_json(run / "summary.json")["warnings"]
    if damaged := [warning["text"].removesuffix(".") for warning in warnings if warning["kind"] == "damaged file"]:
        raise InputError(f"{run}: {'; '.join(damaged)}; the report lacks what it says: {REDO}")
