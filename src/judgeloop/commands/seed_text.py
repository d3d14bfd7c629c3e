"""What `judgeloop seed` prints: what was read, the yield of each step, and how the scores are spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

_NAMES = {"ift": "IFT", "eft": "EFT-train", "eft_eval": "EFT-eval", "held_out": "held-out sets", "prompts": "prompts"}


def print_detected(account: Mapping[str, Any]) -> None:
    """One line for each source, before anything else."""
    for sentence in account["detected"]:
        typer.echo(sentence)


def print_yields(account: Mapping[str, Any]) -> None:
    """A table of what became of the rows, and a histogram of the EFT rows' scores."""
    from rich.console import Console
    from rich.table import Table

    from judgeloop.eft.generated_eft import yields

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
        console.print(line, markup=False, soft_wrap=True)
    low = account["settings"]["lowest_score"] if account.get("eft") else 0
    scores = account["eft_scores"] if account.get("eft") else []
    for score, count in enumerate(scores, low):
        bar = "█" * round(30 * count / max(1, *scores))
        console.print(f"score {score}  {bar}{' ' if bar else ''}{count}")
