"""Judge every candidate, and make pairs of the best and the worst."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from judgeloop.chat import Chat
from judgeloop.engines.base import Engine
from judgeloop.judging.judge import ToJudge, judge, judgement_id
from judgeloop.judging.rubric import load_rubric
from judgeloop.pairs import make_pairs, mean_scores
from judgeloop.records import Candidate, Judgement, Prompt, RowLog, read_rows, write_rows_atomically
from judgeloop.rundir import write_json
from judgeloop.stages.context import Context, Outcome


def judgements(context: Context) -> Outcome:
    """K judgements of every candidate (one with expected scoring), by the model that plays the judge."""
    prompts = {prompt.id: prompt for prompt in read_rows(context.folder / "prompts.jsonl", Prompt)}
    items = [
        ToJudge(row.id, prompts[row.prompt_id].messages, row.text)
        for row in read_rows(context.folder / "candidates.jsonl", Candidate)
    ]
    path = context.folder / "judgements.jsonl"
    role = context.config.judge.role
    judge_all(context, path, items, context.current() if role == "current" else role)
    rows = read_rows(path, Judgement)
    valid = sum(row.score is not None for row in rows)
    return Outcome(("judgements.jsonl",), {"rows": len(rows), "with_score": valid})


def judge_all(
    context: Context, path: Path, items: Sequence[ToJudge], model: str, loaded: tuple[Engine, Chat] | None = None
) -> None:
    """Append the judgements of all items to `path`, skipping those that stand there already."""
    config = context.config
    samples = config.judge.samples if config.judge.scoring == "sampled" else 1
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    with RowLog(path) as log:
        have = {row.id for row in read_rows(path, Judgement)}
        owed = [item for item in items if any(judgement_id(item.id, k) not in have for k in range(samples))]
        done, total = len(have), len(items) * samples
        if not owed:
            return
        if loaded is None:
            chat = context.chat(model)
            engine = context.engine(model, chat)
        else:
            engine, chat = loaded
        for row in judge(engine, chat, rubric, config.judge, owed, config.seed):
            if row.id in have:
                continue
            log.append([row])
            done += 1
            context.progress(done, total, "")
        if loaded is None:
            engine.close()


def pairs(context: Context) -> Outcome:
    """Best against worst of each prompt; every prompt ends in one account."""
    config = context.config
    prompts = read_rows(context.folder / "prompts.jsonl", Prompt)
    rows = read_rows(context.folder / "candidates.jsonl", Candidate)
    scores = mean_scores(read_rows(context.folder / "judgements.jsonl", Judgement), config.judge.min_valid)
    found, account = make_pairs(
        prompts, rows, scores, margin=config.pairs.margin, finished_only=config.pairs.finished_only
    )
    write_rows_atomically(context.folder / "pairs.jsonl", found)
    text = {row.id: row.text for row in rows}
    made = account.pop("pair", 0)
    write_json(
        context.folder / "pairs.json",
        {
            "prompts": len(prompts),
            "pairs": made,
            "ties": account.pop("tie", 0),
            "dropped": dict(account),
            "chosen_mean_characters": _mean([len(text[pair.chosen_id]) for pair in found]),
            "rejected_mean_characters": _mean([len(text[pair.rejected_id]) for pair in found]),
        },
    )
    return Outcome(("pairs.jsonl",), {"rows": made})


def _mean(values: Sequence[int]) -> float | None:
    return round(sum(values) / len(values), 1) if values else None
