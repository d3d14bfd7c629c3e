"""Judge every candidate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from judgeloop.chat import Chat
from judgeloop.engines.base import Engine
from judgeloop.evaluation.health import JudgeHealth, judge_health
from judgeloop.judging.judge import ToJudge, judge, judgement_id
from judgeloop.judging.rubric import load_rubric
from judgeloop.pairs import mean_scores
from judgeloop.records import Candidate, Judgement, Prompt, RowLog, read_rows
from judgeloop.rundir import write_json
from judgeloop.stages.context import Context, Outcome, read_anchors


def judgements(context: Context) -> Outcome:
    """K judgements of every candidate (one with expected scoring), by the model that plays the judge."""
    prompts = {prompt.id: prompt for prompt in read_rows(context.folder / "prompts.jsonl", Prompt)}
    items = [
        ToJudge(row.id, prompts[row.prompt_id].messages, row.text)
        for row in (*read_rows(context.folder / "candidates.jsonl", Candidate), *read_anchors(context.folder))
    ]
    path = context.folder / "judgements.jsonl"
    role = context.config.judge.role
    player = context.current() if role == "current" else role
    judge_all(context, path, items, player)
    rows = read_rows(path, Judgement)
    valid = sum(row.score is not None for row in rows)
    write_json(context.folder / "judge.json", {"judge": player, "health": _health(context, rows).as_dict()})
    return Outcome(("judgements.jsonl", "judge.json"), {"rows": len(rows), "with_score": valid})


def _health(context: Context, rows: Sequence[Judgement]) -> JudgeHealth:
    """How the judge did on the candidates, an earlier model's answers left out."""
    by_prompt: dict[str, list[Candidate]] = {}
    for candidate in read_rows(context.folder / "candidates.jsonl", Candidate):
        by_prompt.setdefault(candidate.prompt_id, []).append(candidate)
    own = {candidate.id for group in by_prompt.values() for candidate in group}
    mine = [row for row in rows if row.candidate_id in own]
    scores = mean_scores(mine, context.config.judge.min_valid)
    return judge_health(
        [[scores.get(candidate.id) for candidate in group] for group in by_prompt.values()],
        [[len(candidate.text) for candidate in group] for group in by_prompt.values()],
        seed=context.config.seed,
        resamples=context.config.evaluation.bootstrap,
        valid=[row.score is not None for row in mine],
        repeated=repeated_scores(mine),
    )


def repeated_scores(rows: Sequence[Judgement]) -> list[list[float]]:
    """The scores that each response was given, as far as they could be read."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.score is not None:
            found.setdefault(row.candidate_id, []).append(row.score)
    return list(found.values())


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
