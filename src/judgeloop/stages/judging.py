"""Judge every candidate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from judgeloop.config.user_functions import load_function
from judgeloop.engines.base import Engine
from judgeloop.errors import InputError
from judgeloop.evaluation.consistency import consistency as consistency_of
from judgeloop.evaluation.health import JudgeHealth, judge_health
from judgeloop.jsonl import RowLog, read_rows, write_rows_atomically
from judgeloop.judging.adaptive import judge_in_rounds
from judgeloop.judging.function_judge import judge_by_function
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pointwise import ToJudge, judgements_each
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import MAX_SCORE, Candidate, Judgement, Prompt
from judgeloop.run.directory import write_json
from judgeloop.stages.context import Context, Outcome, read_anchors


def judgements(context: Context) -> Outcome:
    """K judgements of every candidate (one with expected scoring), by the model that plays the judge; up to
    `judge.max_samples` of those that a prompt's pair hangs on."""
    prompts = {prompt.id: prompt for prompt in read_rows(context.folder / "prompts.jsonl", Prompt)}
    candidates = [*read_rows(context.folder / "candidates.jsonl", Candidate), *read_anchors(context.folder)]
    items = [ToJudge(row.id, prompts[row.prompt_id].messages, row.text, row.prompt_id) for row in candidates]
    path = context.folder / "judgements.jsonl"
    role, function = context.config.judge.role, context.config.judge.function
    player = context.current() if role == "current" else role
    if function is None:
        judge_all(context, path, items, player)
    else:
        player = Path(function).name
        finished = [row.finish_reason == "stop" for row in candidates]
        score = load_function(Path(function), "score(messages, response, finished)", "judge.function")
        # All anew, also in a stage that was cut off: it takes no time.
        write_rows_atomically(path, list(judge_by_function(score, items, finished, "judge.function")))
    rows = read_rows(path, Judgement)
    valid = sum(row.score is not None for row in rows)
    write_json(context.folder / "judge.json", {"judge": player, "health": _health(context, rows).as_dict()})
    return Outcome(("judgements.jsonl", "judge.json"), {"rows": len(rows), "with_score": valid})


def consistency(context: Context) -> Outcome:
    """The candidates judged by the model before the current one too, and how far the two agree."""
    previous = f"M{context.iteration() - 1}"
    prompts = {prompt.id: prompt for prompt in read_rows(context.folder / "prompts.jsonl", Prompt)}
    by_prompt: dict[str, list[Candidate]] = {}
    for row in read_rows(context.folder / "candidates.jsonl", Candidate):
        by_prompt.setdefault(row.prompt_id, []).append(row)
    items = [ToJudge(row.id, prompts[name].messages, row.text) for name, rows in by_prompt.items() for row in rows]
    path = context.folder / "consistency.jsonl"
    judge_all(context, path, items, previous)
    least = context.config.judge.min_valid
    now, before = (
        mean_scores(read_rows(file, Judgement), least) for file in (context.folder / "judgements.jsonl", path)
    )
    found = consistency_of(
        ([now.get(row.id) for row in rows], [before.get(row.id) for row in rows]) for rows in by_prompt.values()
    )
    account = {"previous": previous, "rate": found.rate, "smoothing": found.smoothing, "prompts": found.prompts}
    write_json(context.folder / "consistency.json", account)
    return Outcome(("consistency.jsonl", "consistency.json"), {"rows": len(items)})


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
    """Append the judgements of all items to `path`, skipping those that stand there already. Items with a group get
    more than K judgements where the config allows it and they decide something."""
    config = context.config
    rubric = _loop_rubric(context)
    opened: list[tuple[Engine, Chat]] = []

    def engine() -> tuple[Engine, Chat]:
        if loaded is not None:
            return loaded
        if not opened:
            chat = context.chat(model)
            opened.append((context.engine(model, chat), chat))
        return opened[0]

    with RowLog(path) as log:
        have = {row.id: row for row in read_rows(path, Judgement)}
        done, total = len(have), len(items) * judgements_each(config.judge)
        for row in judge_in_rounds(engine, rubric, config.judge, items, have, config.seed):
            log.append([row])
            done += 1
            context.progress(done, max(done, total), "")
    for own, _ in opened:
        own.close()


def _loop_rubric(context: Context) -> Rubric:
    """The configured rubric. Raises InputError where its scale is not within the one that reports count on."""
    rubric = load_rubric(context.config.judge.rubric, context.config.judge.language)
    if rubric.high > MAX_SCORE:
        raise InputError(
            f"judge.rubric: '{rubric.name}' scores {rubric.low}-{rubric.high}, a run counts on 0-{MAX_SCORE}; "
            "rewrite its scale"
        )
    return rubric
