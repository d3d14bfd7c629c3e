"""EFT rows written by a model: its training, its judgements, and those that order responses as people did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from judgeloop.eft.existing_eft import score_in
from judgeloop.eft.generated_eft import Work, ask, select, write, yields
from judgeloop.errors import InputError
from judgeloop.jsonl import read_rows, write_rows_atomically
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.records import Judgement, RankedSet, SupervisedRow
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.stage import Stage
from judgeloop.seed.build import histogram
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.keys import ENGINE, RUBRIC, of
from judgeloop.stages.training import fine_tune, recover


def writer(context: Context) -> Outcome:
    """The model that writes the judgements: SFT of M0 on the IFT rows alone (the paper's SFT baseline)."""
    rows = context.rows("ift", SupervisedRow)
    if not rows:
        raise InputError(
            "seed_data.eft.writer: sft is trained on IFT rows and there are none; add some, or set it to M0"
        )
    return fine_tune(context, rows, context.config.sft)


def written(context: Context) -> Outcome:
    """Judgements of every response of the EFT sets, and who wrote them."""
    config, log = context.config, context.output()
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    model = context.model("writer")
    chat = model.chat()
    who = {**model.identity, "name": config.seed_data.eft.writer}
    write_json(context.output("eft.written.json"), {"writer": who})
    engine = model.open(chat)
    try:
        write(
            engine,
            chat,
            _work(context, rubric, who),
            rubric,
            config.seed_data.eft,
            config.seed,
            log,
            justification=config.judge.justification,
            on_progress=lambda done, total: context.progress(done, total, ""),
        )
    finally:
        engine.close()
    rows = read_rows(log, Judgement)
    return Outcome({"rows": len(rows), "with_score": sum(row.score is not None for row in rows)})


def eft(context: Context) -> Outcome:
    """The rows of the sets that agree with people, after those that the user gave, and the account of both."""
    config = context.config
    section, rubric = config.seed_data.eft, load_rubric(config.judge.rubric, config.judge.language)
    made, account = select(
        _work(context, rubric, context.json("writer")["writer"]),
        rubric,
        section,
        config.seed,
        context.path("written"),
        justification=config.judge.justification,
    )
    existing = context.rows("existing", SupervisedRow)
    rows = list({row.id: row for row in (*existing, *made)}.values())
    counts = {"eft": len(rows), "eft_scores": histogram([score_in(row, rubric) for row in rows], rubric)}
    write_json(context.output("eft.json"), {**counts, "eft_written": _flat(account)})
    if not made:
        raise InputError(
            f"seed_data.eft: no row is left of {account['written']} judgements ({'; '.join(yields(account)[1:4])}); "
            "set eft.examples, eft.samples or eft.ties: lenient, choose another eft.writer, or set eft.source: ranks"
        )
    write_rows_atomically(context.output(), rows)
    return Outcome({"rows": len(rows), "yields": yields(account)})


def _work(context: Context, rubric: Rubric, who: Mapping[str, Any]) -> Work:
    config = context.config
    return ask(
        context.rows("eft_sets", RankedSet),
        rubric,
        config.seed_data.eft,
        config.seed,
        justification=config.judge.justification,
        writer=who["hash"],
    )


def _flat(account: dict[str, Any]) -> dict[str, Any]:
    """The account without inner tables, as the report shows it: "unreadable: no score line" and so on."""
    flat: dict[str, Any] = {}
    for key, value in account.items():
        if isinstance(value, dict):
            flat |= {f"{key}: {reason}": count for reason, count in value.items()}
        else:
            flat[key] = value
    return flat


WRITER = Stage(
    "writer",
    "fine-tune the writer of judgements",
    run=writer,
    cost=costs.writer,
    reads=("policy", "ift"),
    writes=("writer", "writer/train.json"),
    keys=("seed", "sft"),
    trains="sft",
    weights="writer/model",
    recover=recover,
)
WRITTEN = Stage(
    "written",
    "judgements for EFT",
    run=written,
    cost=costs.written,
    reads=("writer", "eft_sets"),
    writes=("eft.written.jsonl", "eft.written.json"),
    keys=(
        "seed",
        *of("seed_data.eft", "writer", "samples", "examples", "score", "opening", "sampling"),
        *RUBRIC,
        *ENGINE,
    ),
)
EFT = Stage(
    "eft",
    "EFT rows that agree with the ranks",
    run=eft,
    cost=costs.eft,
    reads=("eft_sets", "existing", "written", "writer"),
    writes=("eft.jsonl", "eft.json"),
    keys=("seed", *of("seed_data.eft", "ties", "max_rows", "max_share"), *RUBRIC),
    light=True,
)
