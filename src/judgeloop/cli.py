"""The command line: parsing and printing only."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from judgeloop import __version__
from judgeloop.errors import InputError, JudgeloopError

app = typer.Typer(
    help="Train a language model on its own judgements.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="Models known by a short name.", no_args_is_help=True)
app.add_typer(models_app, name="models")

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="the run directory")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for other programs")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"judgeloop {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="a YAML file, or the name of a shipped config")],
    out: Annotated[Path | None, typer.Option(help="run directory; default: runs/<name of the config>")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key")] = None,
    redo: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP", help="make anew: M2/judge, M2 or judge, with all made from it; the old is kept"),
    ] = None,
) -> None:
    """Run the loop: M1 by SFT, then M2, M3, … on the model's own judgements. Started again, it goes on."""
    from rich.console import Console

    from judgeloop.config import load
    from judgeloop.display import TerminalDisplay
    from judgeloop.driver import execute
    from judgeloop.report.summary import summarise
    from judgeloop.report.terminal import summary_table

    path = _config_path(config)
    settings = load(path, overrides or [])
    folder = out or (Path(settings.out) if settings.out else Path("runs") / path.stem)
    console = Console(highlight=False)
    execute(settings, folder, TerminalDisplay(console), redo or [])
    console.print()
    console.print(summary_table(summarise(folder)))
    console.print(f"\nreport: {folder / 'report.html'}", soft_wrap=True)


@app.command()
def status(run: RunFolder, as_json: AsJson = False) -> None:
    """Where a run stands: which steps are done, begun or missing, and how long they took."""
    from rich.console import Console
    from rich.table import Table

    from judgeloop.loop import method
    from judgeloop.rundir import RunDirectory, open_run, read_json

    config, _ = open_run(run)
    directory = RunDirectory(run, config, method(config))
    rows: list[dict[str, Any]] = []
    for step in directory.steps.values():
        state = directory.state(step)
        marker = read_json(directory.marker(step, "done")) if state == "done" else {}
        seconds = marker.get("seconds", directory.spent(step) or None)
        rows.append({"step": step.name, "state": state, "rows": marker.get("rows"), "seconds": seconds})
    complete = all(row["state"] == "done" for row in rows)
    following = next((row["step"] for row in rows if row["state"] != "done"), None)
    if as_json:
        typer.echo(json.dumps({"run": str(run), "complete": complete, "next": following, "steps": rows}, indent=2))
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


@app.command()
def report(run: RunFolder) -> None:
    """Write the run's report.html (one file, opens offline) and summary.json anew."""
    from judgeloop.driver import write_reports
    from judgeloop.rundir import open_run

    open_run(run)
    write_reports(run)
    typer.echo(run / "report.html")


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """The models known by a short name, and whether they are on this machine."""
    from judgeloop.models import known_models

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
    from judgeloop.models import resolve

    typer.echo(resolve(name).path)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What this machine can run, and what is missing."""
    from judgeloop.doctor import examine

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


def _config_path(given: str) -> Path:
    """A file, or a config that ships with judgeloop by its name."""
    path = Path(given)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return path
    here = Path(__file__).resolve().parent
    for folder in (here / "configs", here.parents[1] / "configs"):
        if (folder / f"{given}.yaml").is_file():
            return folder / f"{given}.yaml"
    names = sorted({p.stem for f in (here / "configs", here.parents[1] / "configs") for p in f.glob("*.yaml")})
    raise InputError(f"{given}: no such config; give a YAML file, or one of {', '.join(names)}")


def main() -> None:
    """Entry point: 0 done, 2 the user's input is wrong, 1 a fault of ours or the machine's, 130 interrupted."""
    try:
        app()  # wrong options end with 2, Ctrl-C with 130
    except JudgeloopError as error:
        print(f"judgeloop: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
