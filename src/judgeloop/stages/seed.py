"""The seed: IFT and EFT rows for M1, and ranked sets held out for evaluation."""

from __future__ import annotations

from judgeloop.errors import InputError
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import write_rows_atomically
from judgeloop.rundir import write_json
from judgeloop.seed.build import build_seed
from judgeloop.stages.context import Context, Outcome, evaluation_prompts


def seed(context: Context) -> Outcome:
    """Write ift.jsonl, eft.jsonl, held_out.jsonl and the account of where every row went."""
    config = context.config
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    data = build_seed(config.seed_data, rubric, config.judge.justification, config.seed)
    folder = context.folder
    write_rows_atomically(folder / "held_out.jsonl", data.held_out)
    write_rows_atomically(folder / "eft.jsonl", data.eft)
    write_rows_atomically(folder / "ift.jsonl", data.ift)
    write_json(folder / "seed.json", data.account)
    if not evaluation_prompts(context.run):
        raise InputError(
            "evaluation: no held-out prompts; name some in evaluation.prompts or raise seed_data.held_out_share"
        )
    counts = {"rows": len(data.ift) + len(data.eft), "held_out": len(data.held_out)}
    return Outcome(("ift.jsonl", "eft.jsonl", "held_out.jsonl"), counts)
