"""What `judgeloop seed` prints: what was read, the yield of each step, and how the scores are spread."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from judgeloop.text.printable import printable

_NAMES = {"ift": "IFT", "eft": "EFT-train", "eft_eval": "EFT-eval", "held_out": "held-out sets", "prompts": "prompts"}


def print_detected(account: Mapping[str, Any]) -> None:
    """One line for each source, before anything else."""
    from rich.console import Console

    from judgeloop.report.printing import say

    for sentence in account["detected"]:
        say(Console(), sentence)


def print_rows(account: Mapping[str, Any], contents: Mapping[str, Sequence[Any]], as_json: bool) -> None:
    """Which column says what, the first three rows of each file that would be written, as they would be trained on,
    and what became of all rows."""
    if as_json:
        shown = {name: [_plain(row) for row in rows[:_SHOWN]] for name, rows in contents.items()}
        typer.echo(json.dumps({"dry_run": True, **account, "rows": shown}, ensure_ascii=False, indent=2))
        return
    for source, columns in account.get("columns", {}).items():
        read = ", ".join(f"{role}: {key}" for role, key in columns["read"].items())
        typer.echo(f"  {source}: read as {{{read}}}" if read else f"  {source}")
    for name, rows in contents.items():
        if not rows:
            continue
        typer.echo(f"\n{name}: {len(rows)} rows" + (f", the first {_SHOWN}:" if len(rows) > _SHOWN else ""))
        for row in rows[:_SHOWN]:
            typer.echo(f"- {row.source}" if row.source else f"- {row.id}")
            for message in _prompt_turns(row):
                typer.echo(_turn(message["role"], message["content"]))
            for target in getattr(row, "completion", ()):
                typer.echo(_turn("→ target", target["content"]))
            for response in getattr(row, "responses", ()):
                typer.echo(_turn(f"→ rank {response['rank']}", response["text"]))
    typer.echo()
    print_yields(account)  # after the samples, which fill the screen
    typer.echo("\nno seed file was written (--dry-run)")


_SHOWN = 3


def _prompt_turns(row: Any) -> Sequence[Mapping[str, str]]:
    found: Sequence[Mapping[str, str]] = row.prompt if hasattr(row, "prompt") else row.messages
    return found


def _turn(who: str, text: str) -> str:
    """A turn, shortened in the middle, on lines of its own."""
    short = text if len(text) <= 600 else f"{text[:400]} … [{len(text) - 600} characters] … {text[-200:]}"
    return f"    {who}: " + printable(short).replace("\n", "\n      ")


def _plain(row: Any) -> dict[str, Any]:
    return dataclasses.asdict(row)


def print_yields(account: Mapping[str, Any]) -> None:
    """A table of what became of the rows, and a histogram of the EFT rows' scores."""
    from rich.console import Console
    from rich.table import Table

    from judgeloop.eft.generated_eft import yields
    from judgeloop.report.printing import say

    table = Table("step")
    table.add_column("rows", justify="right")
    table.add_row("taken", str(account["taken"]))
    for reason, count in account["dropped"].items():
        table.add_row(f"  dropped: {reason}", str(count))
    for name, label in _NAMES.items():
        if name in account:
            table.add_row(label, str(account[name]))
    console = Console(highlight=False)
    console.print(table)
    for line in yields(account["eft_written"]) if "eft_written" in account else ():
        say(console, line)
    low = account["settings"]["lowest_score"] if account.get("eft") else 0
    scores = account["eft_scores"] if account.get("eft") else []
    for score, count in enumerate(scores, low):
        bar = "█" * round(30 * count / max(1, *scores))
        console.print(f"score {score}  {bar}{' ' if bar else ''}{count}")
