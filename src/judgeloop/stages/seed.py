"""The seed: IFT and EFT rows for M1, and ranked sets held out for evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from judgeloop.config import Config, SeedSection
from judgeloop.data.readers import read_prompts
from judgeloop.errors import InputError
from judgeloop.jsonl import write_rows_atomically
from judgeloop.judging.rubric import load_rubric
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.stage import Stage
from judgeloop.seed.build import build_seed
from judgeloop.seed.evaluated import sentence
from judgeloop.seed.renderable import renderable
from judgeloop.stages import costs
from judgeloop.stages.checkpoint_prompts import checkpoint_prompts
from judgeloop.stages.contamination import evaluated_prompts
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.keys import EVALUATED, RUBRIC, of


def seed(context: Context) -> Outcome:
    """Write ift.jsonl, eft.jsonl, held_out.jsonl and the account of where every row went. If a model is to write the
    EFT rows, write what they are made from instead: eft_sets.jsonl, and eft_given.jsonl with the rows of files."""
    config = context.config
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    alone = bool(config.seed_data.eft_files) and config.sft.eft_loss == "score"
    evaluated = evaluated_prompts(config)
    data = build_seed(config.seed_data, rubric, config.judge.justification, config.seed, evaluated, score_alone=alone)
    data = renderable(data, context.model("policy").chat(), rubric)
    files: dict[str, Any] = {"ift": data.ift, "held_out": data.held_out}
    if config.seed_data.eft.source != "ranks":
        files |= {"eft_sets": data.eft_sets, "eft_given": data.eft}
    else:
        files["eft"] = data.eft
    for name, rows in files.items():
        write_rows_atomically(context.output(name), rows)
    write_json(context.output("seed"), data.account)
    evaluates = any(step.stage.measures for step in context.run.steps.values())
    if evaluates and not data.held_out and not any(read_prompts(Path(p))[0] for p in config.evaluation.prompts):
        raise InputError(
            "evaluation: no held-out prompts; name some in evaluation.prompts or raise seed_data.held_out_share"
        )
    if config.train.early_stopping.every is not None:  # too few prompts are said before anything is trained
        checkpoint_prompts(config, data.held_out)
    counts = {"rows": len(data.ift) + len(data.eft), "held_out": len(data.held_out), "yields": yields(data.account)}
    return Outcome(counts)


def yields(account: dict[str, Any]) -> list[str]:
    """The account as lines to print: what was read, what was left out, and what the parts hold."""
    dropped = [f"{count} dropped: {reason}" for reason, count in account["dropped"].items()]
    parts = f"{account['ift']} IFT rows, {account['eft']} EFT rows, {account['held_out']} sets held out"
    parts = "; ".join([f"{parts}; {account['eft_sets']} sets for EFT", *dropped])
    removed = sentence(account.get("in_evaluation", ()))
    return [*account["detected"], *([removed] if removed else []), parts]


def _keys(config: Config) -> tuple[str, ...]:
    """If a model writes the EFT rows, how it does so matters to later stages only."""
    checked = ("sft.eft_loss",) if config.seed_data.eft_files else ()
    if config.seed_data.eft.source == "ranks":
        return ("seed", "seed_data", *EVALUATED, *RUBRIC, *checked)
    parts = [name for name in SeedSection.model_fields if name != "eft"]
    keys = ("seed", *EVALUATED, *of("seed_data", *parts), *of("seed_data.eft", "source", "ift_overlap"))
    return (*keys, *RUBRIC, *checked) if config.seed_data.eft_files else keys


SEED = Stage(
    "seed",
    "read the seed",
    run=seed,
    cost=costs.seed,
    reads=("policy",),
    writes=("ift.jsonl", "eft.jsonl", "eft_sets.jsonl", "eft_given.jsonl", "held_out.jsonl", "seed.json"),
    keys=_keys,
)
