"""Judge every candidate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from judgeloop.config import Config
from judgeloop.config.user_functions import load_function
from judgeloop.jsonl import RowLog, each_row, read_rows, write_rows_atomically
from judgeloop.judging.contrast import own
from judgeloop.judging.function_judge import FUNCTION, SIGNATURE, judge_by_function
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pointwise import ToJudge, judgements_each
from judgeloop.records import MAX_SCORE, Candidate, Judgement, Prompt
from judgeloop.run.directory import drop_metrics
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.plan import OUTSIDE
from judgeloop.run.stage import Stage
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.contrast import account as under_account
from judgeloop.stages.contrast import (
    candidates_under_others,
    cost,
    judge_keys,
    pair_keys,
    pair_scores,
    pairs_by_contrast,
    told,
)
from judgeloop.stages.judges import endpoint_account, loop_rubric, open_judge
from judgeloop.stages.keys import ENGINE, FIXED_JUDGE, JUDGE, of
from judgeloop.stages.shown import of_judgements


def judgements(context: Context) -> Outcome:
    """K judgements of every candidate (one with expected scoring), by the model that plays the judge; up to
    `judge.max_samples` of those that a prompt's pair hangs on."""
    prompts = {prompt.id: prompt for prompt in context.rows("prompts", Prompt)}
    items, finished, candidates = [], [], set[str]()
    for kind, row in ((name, row) for name in ("candidates", "anchors") for row in context.each_row(name, Candidate)):
        items.append(ToJudge(row.id, prompts[row.prompt_id].messages, row.text, row.prompt_id))
        finished.append(row.finish_reason == "stop")
        if kind == "candidates":
            candidates.add(row.id)
    asked = [(item.group, item) for item in items]
    more = candidates_under_others(context.config, list(prompts.values()), asked, candidates)
    if (said := cost(context.config)) is not None:
        print(f"{said}: {(len(items) + len(more)) * judgements_each(context.config.judge)} judgements")
    name = _judge(context, items, finished, more)
    rows = [without_text(row) for row in each_row(context.output(), Judgement)]
    valid = sum(row.score is not None for row in rows)
    health = _health(context, rows)
    contrast = under_account(rows, more, len(items) * context.config.judge.contrast.others)
    write_json(
        context.output("judge"), {"judge": name, "health": health, **({"contrast": contrast} if contrast else {})}
    )
    if (blindness := health.get("prompt_blindness")) is not None:
        _note(context, blindness)
    without = Counter(row.reason for row in rows if row.score is None)
    account = {"rows": len(rows), "with_score": valid, **({"without_score": dict(without)} if without else {})}
    lines = [*told(contrast, len(rows)), *endpoint_account(context).get("yields", ())]
    return Outcome({**account, **({"yields": lines} if lines else {})})


def _judge(context: Context, items: Sequence[ToJudge], finished: Sequence[bool], more: Sequence[ToJudge]) -> str:
    """Append the judgements of the items, and of `more`, which are responses under other prompts; return who judged."""
    path, function = context.output(), context.config.judge.function
    if function is None:
        with open_judge(context) as judge:
            judge.score(path, [*items, *more])
            return judge.name
    score = load_function(Path(function), SIGNATURE, FUNCTION)
    # All anew, also in a stage that was cut off: it takes no time.
    write_rows_atomically(path, list(judge_by_function(score, items, finished, FUNCTION)))
    return Path(function).name


def ahead_judgements(context: Context) -> Outcome:
    """Judgements of a provisional next model's answers by the judge of the candidates, under the same other prompts."""
    prompts = {prompt.id: prompt for prompt in context.rows("prompts", Prompt)}
    rows = context.rows("ahead", Candidate)
    items = [ToJudge(row.id, prompts[row.prompt_id].messages, row.text, row.prompt_id) for row in rows]
    asked = [(item.group, item) for item in items]
    more = candidates_under_others(context.config, list(prompts.values()), asked, ())
    _judge(context, items, [row.finish_reason == "stop" for row in rows], more)
    made = [without_text(row) for row in each_row(context.output(), Judgement)]
    without = Counter(row.reason for row in made if row.score is None)
    account = {"rows": len(made), **({"without_score": dict(without)} if without else {})}
    return Outcome({**account, **endpoint_account(context)})


def _note(context: Context, blindness: Mapping[str, Any]) -> None:
    """A row of metrics.jsonl: how blind to the prompt the judge was."""
    step = context.step
    drop_metrics(context.run.path, {(step.model, step.label)})
    with RowLog(context.run.path / "metrics.jsonl") as log:
        log.append([{"model": step.model, "stage": step.label,
                     **{f"prompt_blindness{'' if key == 'value' else '_' + key}": value
                        for key, value in blindness.items()}}])  # fmt: skip


def consistency(context: Context) -> Outcome:
    """The candidates judged by the model before the current one too, and how far the two agree by the scores that
    pairs are made by."""
    from judgeloop.evaluation.consistency import consistency as consistency_of

    config = context.config
    prompts = {prompt.id: prompt for prompt in context.rows("prompts", Prompt)}
    by_prompt = _by_prompt(context.rows("candidates", Candidate))
    asked = [
        (name, ToJudge(row.id, prompts[name].messages, row.text)) for name, rows in by_prompt.items() for row in rows
    ]
    items = [item for _, item in asked]
    if pairs_by_contrast(config):
        items += candidates_under_others(config, list(prompts.values()), asked, ())
    with open_judge(context) as judge:
        judge.score(context.output(), items)
    now, _ = pair_scores(config, context.rows("judgements", Judgement))
    before, _ = pair_scores(config, read_rows(context.output(), Judgement))
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


def _health(context: Context, rows: Sequence[Judgement]) -> dict[str, Any]:
    """How the judge did on the candidates under their own prompts, an earlier model's answers left out; and how blind
    to the prompt it was, if they were judged under others too."""
    from judgeloop.evaluation.blindness import prompt_blindness
    from judgeloop.evaluation.health import judge_health
    from judgeloop.evaluation.statistics import as_dict

    lengths: dict[str, dict[str, int]] = {}  # of each prompt's candidates, in characters
    for candidate in context.each_row("candidates", Candidate):
        lengths.setdefault(candidate.prompt_id, {})[candidate.id] = len(candidate.text)
    ids = {name for group in lengths.values() for name in group}
    mine = [row for row in rows if row.candidate_id in ids]
    everywhere = mean_scores(rows, context.config.judge.min_valid)
    scores = {name: everywhere.get(name) for name in ids}
    scale = (0, MAX_SCORE)  # what a function returns
    if context.config.judge.function is None:
        rubric = loop_rubric(context)
        scale = (rubric.low, rubric.high)
    health = judge_health(
        [[scores.get(name) for name in group] for group in lengths.values()],
        [list(group.values()) for group in lengths.values()],
        seed=context.config.seed,
        resamples=context.config.evaluation.bootstrap,
        scale=scale,
        valid=[row.score is not None for row in mine],
        repeated=repeated_scores(mine),
    ).as_dict()
    if len(own(rows)) < len(rows):
        groups = [list(group) for group in lengths.values()]
        resamples = context.config.evaluation.bootstrap
        blindness = prompt_blindness(everywhere, groups, seed=context.config.seed, resamples=resamples)
        health["prompt_blindness"] = as_dict(blindness)
    return health


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
    return ("seed", *JUDGE, *judge_keys(config), "evaluation.bootstrap", *ENGINE, *outside)


def _consistency_keys(config: Config) -> tuple[str, ...]:
    contrast = ("judge.contrast.others", "pairs.contrast", *pair_keys(config))
    drawn = judge_keys(config) if pairs_by_contrast(config) else ()
    return ("seed", *FIXED_JUDGE, *contrast, *drawn, *of("judge", "max_samples", "noise"), *ENGINE)


JUDGE_CANDIDATES = Stage(
    "judge",
    "judgements",
    run=judgements,
    cost=costs.judgements,
    reads=("judge", "prompts", "candidates"),
    may_read=("anchors",),
    writes=("judgements.jsonl", "judge.json"),
    keys=_judge_keys,
    gives="judgements",
    shows=of_judgements,
)
JUDGE_AHEAD = Stage(
    "judge_ahead",
    "judgements of the provisional model's answers",
    run=ahead_judgements,
    cost=costs.ahead_judgements,
    reads=("judge", "prompts", "ahead"),
    writes=("ahead.judgements.jsonl",),
    keys=_judge_keys,
    gives="judgements",
)
CONSISTENCY = Stage(
    "consistency",
    "the model before judges too",
    run=consistency,
    cost=costs.consistency,
    reads=("judge", "prompts", "candidates", "judgements"),
    writes=("consistency.jsonl", "consistency.json"),
    keys=_consistency_keys,
)
