"""Judge every candidate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from judgeloop.config import Config
from judgeloop.config.user_functions import load_function
from judgeloop.jsonl import each_row, read_rows, write_rows_atomically
from judgeloop.judging.function_judge import FUNCTION, SIGNATURE, judge_by_function
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pointwise import ToJudge
from judgeloop.records import MAX_SCORE, Candidate, Judgement, Prompt
from judgeloop.run.directory import write_json
from judgeloop.run.plan import OUTSIDE
from judgeloop.run.stage import Stage
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.judges import endpoint_account, loop_rubric, open_judge
from judgeloop.stages.keys import ENGINE, FIXED_JUDGE, JUDGE, of
from judgeloop.stages.shown import of_judgements


def judgements(context: Context) -> Outcome:
    """K judgements of every candidate (one with expected scoring), by the model that plays the judge; up to
    `judge.max_samples` of those that a prompt's pair hangs on."""
    prompts = {prompt.id: prompt for prompt in context.rows("prompts", Prompt)}
    items, finished = [], []
    for row in (row for name in ("candidates", "anchors") for row in context.each_row(name, Candidate)):
        items.append(ToJudge(row.id, prompts[row.prompt_id].messages, row.text, row.prompt_id))
        finished.append(row.finish_reason == "stop")
    path, function = context.output(), context.config.judge.function
    if function is None:
        with open_judge(context) as judge:
            judge.score(path, items)
            name = judge.name
    else:
        name = Path(function).name
        score = load_function(Path(function), SIGNATURE, FUNCTION)
        # All anew, also in a stage that was cut off: it takes no time.
        write_rows_atomically(path, list(judge_by_function(score, items, finished, FUNCTION)))
    rows = [without_text(row) for row in each_row(path, Judgement)]
    valid = sum(row.score is not None for row in rows)
    write_json(context.output("judge"), {"judge": name, "health": _health(context, rows)})
    without = Counter(row.reason for row in rows if row.score is None)
    account = {"rows": len(rows), "with_score": valid, **({"without_score": dict(without)} if without else {})}
    return Outcome({**account, **endpoint_account(context)})


def consistency(context: Context) -> Outcome:
    """The candidates judged by the model before the current one too, and how far the two agree."""
    from judgeloop.evaluation.consistency import consistency as consistency_of

    prompts = {prompt.id: prompt for prompt in context.rows("prompts", Prompt)}
    by_prompt = _by_prompt(context.rows("candidates", Candidate))
    items = [ToJudge(row.id, prompts[name].messages, row.text) for name, rows in by_prompt.items() for row in rows]
    with open_judge(context) as judge:
        judge.score(context.output(), items)
    least = context.config.judge.min_valid
    now = mean_scores(context.rows("judgements", Judgement), least)
    before = mean_scores(read_rows(context.output(), Judgement), least)
    found = consistency_of(
        ([now.get(row.id) for row in rows], [before.get(row.id) for row in rows]) for rows in by_prompt.values()
    )
    account = {"previous": judge.name, "rate": found.rate, "smoothing": found.smoothing, "prompts": found.prompts}
    write_json(context.output("consistency.json"), account)
    return Outcome({"rows": len(items), **endpoint_account(context)})


def _by_prompt(candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for row in candidates:
        found.setdefault(row.prompt_id, []).append(row)
    return found


def _health(context: Context, rows: Sequence[Judgement]) -> dict[str, object]:
    """How the judge did on the candidates, an earlier model's answers left out."""
    from judgeloop.evaluation.health import judge_health

    lengths: dict[str, dict[str, int]] = {}  # of each prompt's candidates, in characters
    for candidate in context.each_row("candidates", Candidate):
        lengths.setdefault(candidate.prompt_id, {})[candidate.id] = len(candidate.text)
    own = {name for group in lengths.values() for name in group}
    mine = [row for row in rows if row.candidate_id in own]
    scores = mean_scores(mine, context.config.judge.min_valid)
    scale = (0, MAX_SCORE)  # what a function returns
    if context.config.judge.function is None:
        rubric = loop_rubric(context)
        scale = (rubric.low, rubric.high)
    return judge_health(
        [[scores.get(name) for name in group] for group in lengths.values()],
        [list(group.values()) for group in lengths.values()],
        seed=context.config.seed,
        resamples=context.config.evaluation.bootstrap,
        scale=scale,
        valid=[row.score is not None for row in mine],
        repeated=repeated_scores(mine),
    ).as_dict()


def without_text(row: Judgement) -> Judgement:
    """What figures are made of: what a judge wrote is most of a row, and a run has a million of them."""
    return replace(row, text="", distribution=None)


def repeated_scores(rows: Sequence[Judgement]) -> list[list[float]]:
    """The scores that each response was given, as far as they could be read."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.score is not None:
            found.setdefault(row.candidate_id, []).append(row.score)
    return list(found.values())


def _judge_keys(config: Config) -> tuple[str, ...]:
    outside = ("endpoint.url", "endpoint.begin_score") if config.judge.role.startswith(OUTSIDE) else ()
    return ("seed", *JUDGE, "evaluation.bootstrap", *ENGINE, *outside)


JUDGE_CANDIDATES = Stage(
    "judge",
    "judgements",
    run=judgements,
    reads=("judge", "prompts", "candidates"),
    may_read=("anchors",),
    writes=("judgements.jsonl", "judge.json"),
    keys=_judge_keys,
    gives="judgements",
    shows=of_judgements,
)
CONSISTENCY = Stage(
    "consistency",
    "the model before judges too",
    run=consistency,
    reads=("judge", "prompts", "candidates", "judgements"),
    writes=("consistency.jsonl", "consistency.json"),
    keys=("seed", *FIXED_JUDGE, *of("judge", "max_samples", "noise"), *ENGINE),
)
