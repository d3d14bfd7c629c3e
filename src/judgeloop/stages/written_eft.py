"""EFT rows written by a model: its training, its judgements, and those that order responses as people did."""

from __future__ import annotations

from typing import Any

from judgeloop.eft.existing_eft import score_in
from judgeloop.eft.generated_eft import Work, ask, select, write, yields
from judgeloop.engines.base import Engine
from judgeloop.errors import InputError
from judgeloop.jsonl import read_rows, write_rows_atomically
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.chat import Chat
from judgeloop.models.resolve import resolve
from judgeloop.records import Judgement, RankedSet, SupervisedRow
from judgeloop.run.directory import read_json, write_json
from judgeloop.seed.build import histogram
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.training import fine_tune


def writer(context: Context) -> Outcome:
    """The model that writes the judgements: SFT of M0 on the IFT rows alone (the paper's SFT baseline)."""
    rows = read_rows(context.folder / "ift.jsonl", SupervisedRow)
    if not rows:
        raise InputError(
            "seed_data.eft.writer: sft is trained on IFT rows and there are none; add some, or set it to M0"
        )
    folder = context.folder / "writer"
    folder.mkdir(exist_ok=True)
    return fine_tune(context, rows, folder, context.config.sft)


def written(context: Context) -> Outcome:
    """Judgements of every response of the EFT sets, and who wrote them."""
    config, log = context.config, context.folder / "eft.written.jsonl"
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    who, engine, chat = _load(context)
    try:
        write_json(log.with_suffix(".json"), {"writer": who})
        work = _work(context, rubric)
        write(
            engine,
            chat,
            work,
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
    return Outcome((log.name,), {"rows": len(rows), "with_score": sum(row.score is not None for row in rows)})


def eft(context: Context) -> Outcome:
    """The rows of the sets that agree with people, after those that the user gave; the account joins the seed's."""
    config, folder = context.config, context.folder
    section, rubric = config.seed_data.eft, load_rubric(config.judge.rubric, config.judge.language)
    made, account = select(
        _work(context, rubric),
        rubric,
        section,
        config.seed,
        folder / "eft.written.jsonl",
        justification=config.judge.justification,
    )
    given = read_rows(folder / "eft_given.jsonl", SupervisedRow)
    rows = list({row.id: row for row in (*given, *made)}.values())
    counts = {"eft": len(rows), "eft_scores": histogram([score_in(row, rubric) for row in rows], rubric)}
    stored = read_json(folder / "seed.json")
    write_json(folder / "seed.json", {**stored, **counts, "eft_written": _flat(account)})
    if not made:
        raise InputError(
            f"seed_data.eft: no row is left of {account['written']} judgements ({'; '.join(yields(account)[1:4])}); "
            "set eft.examples, eft.samples or eft.ties: lenient, choose another eft.writer, or set eft.source: ranks"
        )
    write_rows_atomically(folder / "eft.jsonl", rows)
    return Outcome(("eft.jsonl",), {"rows": len(rows), "yields": yields(account)})


def _work(context: Context, rubric: Rubric) -> Work:
    config = context.config
    who = read_json(context.folder / "eft.written.json")["writer"]
    return ask(
        read_rows(context.folder / "eft_sets.jsonl", RankedSet),
        rubric,
        config.seed_data.eft,
        config.seed,
        justification=config.judge.justification,
        writer=who["hash"],
    )


def _load(context: Context) -> tuple[dict[str, Any], Engine, Chat]:
    """The writer: {"name", "path", "hash"}, its engine and its chat template."""
    name = context.config.seed_data.eft.writer
    if name == "sft":
        from judgeloop.engines import open_engine

        config, folder, chat = context.config, context.folder / "writer", context.chat()
        engine = open_engine(
            config.engine,
            folder / "model",
            chat,
            work_dir=folder / "engine",
            threads=config.threads,
            seed=config.seed,
            trust_remote_code=config.trust_remote_code,
        )
        path, digest = f"{context.step.model}/writer/model", read_json(folder / "train.json")["hash"]
        return {"name": "sft", "path": path, "hash": digest}, engine, chat
    if name in context.models():
        chat = context.chat(name)
        return context.run.model_identity(name), context.engine(name, chat), chat
    found = resolve(name, trust_remote_code=context.config.trust_remote_code)
    chat = context.chat(str(found.path))
    problems = chat.check()
    if problems:
        raise InputError(f"{found.path}: {'; also: '.join(problems)}")
    who = {"name": found.name, "path": str(found.path), "hash": found.hash}
    return who, context.engine(str(found.path), chat), chat


def _flat(account: dict[str, Any]) -> dict[str, Any]:
    """The account without inner tables, as the report shows it: "unreadable: no score line" and so on."""
    flat: dict[str, Any] = {}
    for key, value in account.items():
        if isinstance(value, dict):
            flat |= {f"{key}: {reason}": count for reason, count in value.items()}
        else:
            flat[key] = value
    return flat
