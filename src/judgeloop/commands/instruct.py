"""`judgeloop instruct`: new instructions alone, without the loop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from judgeloop.commands.arguments import AsJson, ConfigName, Overrides, config_path
from judgeloop.errors import InputError

if TYPE_CHECKING:
    from judgeloop.config import Config

BACKTRANSLATED = "backtranslation"
SHIPPED = ("self_instruct", "unnatural", "few_shot", BACKTRANSLATED)


def instruct(
    config: ConfigName,
    out: Annotated[Path, typer.Option(help="JSONL file to write; FILE.json gets the account of it")],
    count: Annotated[int | None, typer.Option(min=1, help="prompts.count: how many are wanted")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help=f"{', '.join(SHIPPED)}, or one that the config's plugins register; default: prompts.source",
        ),
    ] = None,
    overrides: Overrides = None,
    redo: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP", help="a step to make anew, such as M1/prompts; the old one is kept"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace FILE")] = False,
    as_json: AsJson = False,
) -> None:
    """Write new instructions to a file, with answers if the method gives them. Started again, it goes on.

    Who writes them is prompts.role: the config's model as it is, M1 (made first), or another model folder. The work is
    done in a run directory beside FILE, with .work for its ending.
    """
    from rich.console import Console

    from judgeloop.jsonl import write_rows_atomically
    from judgeloop.report.printing import say
    from judgeloop.run.display import TerminalDisplay
    from judgeloop.run.driver import execute
    from judgeloop.run.fingerprints import file_hash
    from judgeloop.run.json_artifacts import write_json
    from judgeloop.run.methods import BACKTRANSLATION, INSTRUCTIONS
    from judgeloop.training import distributed

    settings = _settings(config_path(config), source, count, overrides or [])
    method = BACKTRANSLATION if source == BACKTRANSLATED else INSTRUCTIONS
    if out.is_dir():
        raise InputError.at(out, None, "is a folder", "name a file with --out")
    work, told = out.with_name(f"{out.stem}.work"), out.with_name(f"{out.name}.json")
    _refuse_used(out, told, work, overwrite)
    display = TerminalDisplay(Console(highlight=False, stderr=as_json))
    execute(settings, work, display, redo or [], method=method)
    if not distributed.is_main():
        return
    rows, account = _made(work)
    write_rows_atomically(out, rows)
    account = {"rows": len(rows), "sha256": file_hash(out), **account}
    write_json(told, account)
    if as_json:
        typer.echo(json.dumps({"file": str(out), "work": str(work), **account}, ensure_ascii=False, indent=2))
        return
    for line in _yields(account):
        say(display.console, line)
    typer.echo(f"{out}: {len(rows)} rows; {told.name}: what was kept and dropped; {work.name}: the work itself")


def _settings(path: Path, source: str | None, count: int | None, overrides: list[str]) -> Config:
    from judgeloop.config import load

    said = [] if count is None else [f"prompts.count={count}"]
    if source == BACKTRANSLATED:
        if count is not None:
            raise InputError("--count: backtranslation keeps texts by their score; set backtranslation.top_share")
        return load(path, overrides)
    if source is not None:
        said.append(f"prompts.source={source}")
    settings = load(path, [*said, *overrides])
    if settings.prompts.source == "file":
        raise InputError("prompts.source: file reads prompts and makes none; name a method with --source")
    return settings


def _refuse_used(out: Path, told: Path, work: Path, overwrite: bool) -> None:
    """Refuse a file that exists, unless it is what the work beside it made."""
    if overwrite or not out.exists() or _came_from(work, out, told):
        return
    raise InputError.at(out, None, "exists already", "name another file, or replace it with --overwrite")


def _came_from(work: Path, out: Path, told: Path) -> bool:
    from judgeloop.run.fingerprints import file_hash
    from judgeloop.run.json_artifacts import read_json

    if not told.is_file() or not (work / "run.json").is_file():
        return False
    account = read_json(told)
    return bool(
        account.get("sha256") == file_hash(out) and account.get("started") == read_json(work / "run.json")["started"]
    )


def _made(work: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the steps left: rows to write, and the account."""
    from judgeloop.jsonl import read_objects, read_rows
    from judgeloop.records import Prompt, SupervisedRow, Task
    from judgeloop.run.directory import RunDirectory, open_run
    from judgeloop.run.json_artifacts import read_json
    from judgeloop.run.methods import steps_of

    config, facts = open_run(work)
    run = RunDirectory(work, config, steps_of(facts["method"], config, work))
    *_, last = run.steps.values()
    folder = run.folder(last.model)
    seconds = {name: read_json(run.marker(step, "done"))["seconds"] for name, step in run.steps.items()}
    account = {"started": facts["started"], "model": run.identity("M0"), "seconds_of_steps": seconds}
    if last.label == "backtranslated":
        scores = {str(row["id"]): row["score"] for _, row in read_objects(folder / last.artifact)}
        rows = [_from_pair(row, scores[row.id]) for row in read_rows(folder / last.artifact, SupervisedRow)]
        return rows, {**account, **read_json(folder / "backtranslation.json")}
    account |= {"prompter": config.prompts.role, **read_json(folder / "prompts.json")}
    if (folder / "tasks.jsonl").exists():
        return [_from_task(task) for task in read_rows(folder / "tasks.jsonl", Task)], account
    return [_from_prompt(prompt) for prompt in read_rows(folder / "prompts.jsonl", Prompt)], account


def _from_task(task: Any) -> dict[str, Any]:
    row = {"id": task.id, "prompt": task.messages()[0]["content"]}
    if task.output:
        row["response"] = task.output
    row |= {"instruction": task.instruction, "input": task.input, "constraints": task.constraints}
    if task.classification is not None:
        row["classification"] = task.classification
    return {**row, "source": task.source}


def _from_prompt(prompt: Any) -> dict[str, Any]:
    text = prompt.messages[-1]["content"]
    return {
        "id": prompt.id, "prompt": text, "instruction": text, "input": "", "constraints": "", "source": prompt.source,
    }  # fmt: skip


def _from_pair(pair: Any, score: float) -> dict[str, Any]:
    text = pair.prompt[-1]["content"]
    row = {"id": pair.id}
    if pair.prompt[0]["role"] == "system":
        row["system"] = pair.prompt[0]["content"]
    return row | {
        "prompt": text, "response": pair.completion[0]["content"], "instruction": text,
        "input": "", "constraints": "", "source": pair.source, "score": score,
    }  # fmt: skip


def _yields(account: Mapping[str, Any]) -> list[str]:
    """The account in a few lines."""
    lines = []
    if "got" in account:
        lines.append(
            f"{account['got']} written in {account['requests']} requests, {account['kept']} kept "
            f"({account['tokens']} tokens, {account['seconds']:.0f} s; {account['stopped']})"
        )
        lines.append(f"dropped: {_counts(account['dropped'])}")
    for name in ("instances", "alternatives"):
        if name in account:
            part = account[name]
            lines.append(f"{name}: {part['kept']} kept; dropped: {_counts(part['dropped'])}")
    return lines


def _counts(dropped: Mapping[str, int]) -> str:
    ordered = sorted(dropped.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{count} {reason}" for reason, count in ordered) or "none"
