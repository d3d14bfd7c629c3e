"""The seed: IFT and EFT rows for M1, and ranked sets held out for evaluation."""

from __future__ import annotations

from typing import Any

from judgeloop.errors import InputError
from judgeloop.jsonl import write_rows_atomically
from judgeloop.judging.rubric import load_rubric
from judgeloop.run.directory import write_json
from judgeloop.seed.build import build_seed
from judgeloop.stages.context import Context, Outcome, evaluation_prompts


def seed(context: Context) -> Outcome:
    """Write ift.jsonl, eft.jsonl, held_out.jsonl and the account of where every row went. Where a model is to write the
    EFT rows, write what they are made from instead: eft_sets.jsonl, and eft_given.jsonl with the rows of files."""
    config = context.config
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    data = build_seed(config.seed_data, rubric, config.judge.justification, config.seed)
    files: dict[str, Any] = {"ift.jsonl": data.ift, "held_out.jsonl": data.held_out}
    if config.seed_data.eft.source == "written":
        files |= {"eft_sets.jsonl": data.eft_sets, "eft_given.jsonl": data.eft}
    else:
        files["eft.jsonl"] = data.eft
    for name, rows in files.items():
        write_rows_atomically(context.folder / name, rows)
    write_json(context.folder / "seed.json", data.account)
    evaluates = any(step.stage == "eval" for step in context.run.steps.values())
    if evaluates and not evaluation_prompts(context.run):
        raise InputError(
            "evaluation: no held-out prompts; name some in evaluation.prompts or raise seed_data.held_out_share"
        )
    counts = {"rows": len(data.ift) + len(data.eft), "held_out": len(data.held_out), "yields": yields(data.account)}
    return Outcome(tuple(files), counts)


def yields(account: dict[str, Any]) -> list[str]:
    """The account as lines to print: what was read, what was left out, and what the parts hold."""
    dropped = [f"{count} dropped: {reason}" for reason, count in account["dropped"].items()]
    parts = f"{account['ift']} IFT rows, {account['eft']} EFT rows, {account['held_out']} sets held out"
    return [*account["detected"], "; ".join([f"{parts}; {account['eft_sets']} sets for EFT", *dropped])]
