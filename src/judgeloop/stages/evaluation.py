"""What every model is measured by, on prompts that nothing was trained on: how its judge behaves, whether it agrees
with the ranks that were held out, how long its answers are, and whether they beat the previous model's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from judgeloop.config import Config
from judgeloop.engines.base import Engine
from judgeloop.jsonl import read_rows
from judgeloop.judging.contrast import contrasts, own
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pairwise import ToCompare
from judgeloop.judging.pointwise import ToJudge
from judgeloop.records import Candidate, Judgement, Prompt, RankedSet
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.plan import OUTSIDE
from judgeloop.run.samples import draw, last_turn
from judgeloop.run.stage import Stage
from judgeloop.stages import costs
from judgeloop.stages.asked import write_asked
from judgeloop.stages.context import Context, Outcome, evaluation_prompts, sampling
from judgeloop.stages.contrast import compared_under_others, evaluated_under_others, evaluation_keys
from judgeloop.stages.fitting import fitting
from judgeloop.stages.generation import respond
from judgeloop.stages.ifeval import IFEVAL_ROWS, verified
from judgeloop.stages.judges import StepJudge, endpoint_account, loop_rubric, open_judge
from judgeloop.stages.judging import repeated_scores
from judgeloop.stages.keys import ENGINE, EVALUATION, FIXED_JUDGE
from judgeloop.stages.same_judge import read_alone, take_over
from judgeloop.stages.shown import of_evaluation

if TYPE_CHECKING:
    from judgeloop.evaluation.measures import Duel
    from judgeloop.evaluation.metrics import EvaluatedPrompt

RESPONSES, JUDGEMENTS, AGREEMENT = "eval.responses", "eval.judgements", "eval.agreement"
COMPARISONS, PREVIOUS = "eval.comparisons", "eval.previous.judgements"
ASKED = "eval.prompts"
ROWS = (RESPONSES, JUDGEMENTS, AGREEMENT, COMPARISONS, PREVIOUS, *IFEVAL_ROWS, ASKED)


def evaluate(context: Context) -> Outcome:
    """Answer the held-out prompts, judge the answers and the ranked ones, compare with the previous model."""
    from judgeloop.evaluation.agreement import pairwise_accuracy
    from judgeloop.evaluation.blindness import prompt_blindness
    from judgeloop.evaluation.health import near_top
    from judgeloop.evaluation.measures import measures
    from judgeloop.evaluation.metrics import Measured, metric_block
    from judgeloop.evaluation.statistics import as_dict

    started = time.monotonic()
    section = context.config.evaluation
    model = context.model("policy")
    chat = model.chat()
    opened: list[Engine] = []

    def engine() -> Engine:
        if not opened:
            opened.append(model.open(chat))
        return opened[0]

    new_tokens = section.sampling.max_new_tokens
    what = f"{context.step.name}: prompts"
    asked, left_out = fitting(model.name, chat, evaluation_prompts(context), new_tokens, what)
    prompts = [prompt for prompt, _ in asked]
    write_asked(context, context.output(ASKED), prompts)
    respond(context, context.output(RESPONSES), engine, chat, asked, section.samples, sampling(section.sampling),
            purpose="evaluation", keep_open=True)  # fmt: skip
    responses = read_rows(context.output(RESPONSES), Candidate)

    numbers: dict[str, Mapping[str, float]] = {}
    followed = None
    if section.ifeval is not None:
        followed, numbers["ifeval"] = verified(context, engine, chat)

    by_id = {prompt.id: prompt for prompt in prompts}
    ranked = context.rows("held_out", RankedSet)
    previous = context.maker("previous")
    if context.role("judge") != context.role("policy"):  # two models at once may be too much for the memory
        _close(opened)
    with open_judge(context, own=(model.name, lambda: (engine(), chat))) as judge:
        items = [
            (name, ToJudge(row.id, by_id[name].messages, row.text))
            for name, rows in _by_prompt(responses).items()
            for row in rows[: section.judged]
        ]
        firsts = {rows[0].id for rows in _by_prompt(responses).values()} if previous is not None else set[str]()
        under = evaluated_under_others(context.config, prompts, items, firsts)
        judge.score(context.output(JUDGEMENTS), [*(item for _, item in items), *under])
        take_over(context, "previous_agreement", context.output(AGREEMENT), _ranked_items(ranked))
        judge.score(context.output(AGREEMENT), _ranked_items(ranked))
        duel = _duel(context, prompts, responses, previous, judge) if previous is not None else None
        judge_name = judge.name
    _close(opened)

    rubric = loop_rubric(context)
    scale = (rubric.low, rubric.high)
    everywhere = read_rows(context.output(JUDGEMENTS), Judgement)
    given = own(everywhere)
    scores = mean_scores(given, context.config.judge.min_valid)
    answered = _evaluated(prompts, responses, scores)
    ranked_scores = _ranked_scores(context, ranked)
    right = {entry.id: pairwise_accuracy(*both, ties="half") for entry, both in zip(ranked, ranked_scores, strict=True)}
    numbers["agreement"] = {name: share for name, share in right.items() if share is not None}
    found = measures(
        answered,
        seed=context.config.seed,
        resamples=section.bootstrap,
        ranked=ranked_scores,
        duel=duel,
        valid=[row.score is not None for row in given],
        repeated=repeated_scores(given),
        scale=scale,
        perfect=near_top(scale) if context.config.judge.scoring == "expected" else float(scale[1]),
    )
    if len(given) < len(everywhere):
        groups = [[row.id for row in rows] for rows in _by_prompt(responses).values()]
        means = mean_scores(everywhere, context.config.judge.min_valid)
        blindness = prompt_blindness(means, groups, seed=context.config.seed, resamples=section.bootstrap)
        found["judge_health"]["prompt_blindness"] = as_dict(blindness)
    found["ifeval"] = followed
    if found["agreement"] is not None:  # whose ranks they are, is known to those who know the files
        found["agreement"]["sources"] = dict(
            Counter(entry.source.rpartition(":")[0] or entry.source for entry in ranked)
        )
    before = _previous_evaluated(context, prompts) if previous is not None else ()
    measured = Measured(found, answered, before, previous, context.config.seed, section.bootstrap, numbers)
    write_json(
        context.output(),
        {
            "model": context.step.model,
            "judge": judge_name,
            "scoring": context.config.judge.scoring,
            **found,
            "metrics": metric_block("eval", measured, section.metrics),
            "samples": _samples(by_id, responses, scores, context.config.seed),
            "seconds": round(time.monotonic() - started, 2),
        },
    )
    for name in ROWS:  # readers of JSONL stumble over a file without a row
        path = context.output(name)
        if path.exists() and not path.stat().st_size:
            path.unlink()
    more = {"prompts_left_out": left_out} if left_out else {}
    return Outcome({"rows": len(responses), **more, **endpoint_account(context)})


def _close(opened: list[Engine]) -> None:
    while opened:
        opened.pop().close()


def _ranked_items(ranked: Sequence[RankedSet]) -> list[ToJudge]:
    return [
        ToJudge(f"{entry.id}.{k}", entry.messages, response["text"])
        for entry in ranked
        for k, response in enumerate(entry.responses)
    ]


def _ranked_scores(context: Context, ranked: Sequence[RankedSet]) -> list[tuple[list[float | None], list[float]]]:
    given = read_rows(context.output(AGREEMENT), Judgement)
    scores = mean_scores(given, context.config.judge.min_valid)
    return [
        (
            [scores.get(f"{entry.id}.{k}") for k in range(len(entry.responses))],
            [float(response["rank"]) for response in entry.responses],
        )
        for entry in ranked
    ]


def _by_prompt(rows: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for row in sorted(rows, key=lambda row: row.id):
        found.setdefault(row.prompt_id, []).append(row)
    return found


def _previous_evaluated(context: Context, prompts: Sequence[Prompt]) -> list[EvaluatedPrompt]:
    """The prompts with the previous model's responses; the first of each has a score by this evaluation's judge."""
    theirs = context.rows("previous", Candidate)
    given = mean_scores(read_rows(context.output(PREVIOUS), Judgement), context.config.judge.min_valid)
    return _evaluated(prompts, theirs, {name.removesuffix(".vs"): score for name, score in given.items()})


def _evaluated(
    prompts: Sequence[Prompt], responses: Sequence[Candidate], scores: Mapping[str, float | None]
) -> list[EvaluatedPrompt]:
    from judgeloop.evaluation.metrics import EvaluatedPrompt

    by_prompt = _by_prompt(responses)
    return [
        EvaluatedPrompt(
            characters=[len(row.text) for row in by_prompt[prompt.id]],
            tokens=[len(row.token_ids) for row in by_prompt[prompt.id]],
            truncated=[row.finish_reason == "length" for row in by_prompt[prompt.id]],
            scores=[scores.get(row.id) for row in by_prompt[prompt.id]],
            id=prompt.id,
            messages=prompt.messages,
            texts=[row.text for row in by_prompt[prompt.id]],
        )
        for prompt in prompts
    ]


def _duel(
    context: Context,
    prompts: Sequence[Prompt],
    responses: Sequence[Candidate],
    previous: str,
    judge: StepJudge,
) -> Duel:
    """The first response of each model to each prompt, compared in both orders by the judge of this evaluation."""
    from judgeloop.evaluation.measures import Duel

    theirs_all = _by_prompt(context.rows("previous", Candidate))
    ours_all = _by_prompt(responses)
    ours = {name: rows[0] for name, rows in ours_all.items()}
    theirs = {name: rows[0] for name, rows in theirs_all.items()}
    pairwise = context.config.evaluation.compare == "pairwise"
    items = []
    for prompt in prompts if pairwise else ():
        mine, other = ours[prompt.id].text, theirs[prompt.id].text
        items.append(ToCompare(f"{prompt.id}.first", prompt.messages, mine, other))
        items.append(ToCompare(f"{prompt.id}.second", prompt.messages, other, mine))
    preferred = judge.compare(context.output(COMPARISONS), items) if pairwise else {}
    # Scores of both models' answers by one judge, so that they can be set side by side.
    again = [
        (prompt.id, ToJudge(f"{row.id}.vs", prompt.messages, row.text))
        for prompt in prompts
        for row in (theirs[prompt.id],)
    ]
    if read_alone(context.config):  # one that is drawn depends on its id, by which `eval winrate` draws it again
        take_over(context, "previous_judgements", context.output(PREVIOUS), [item for _, item in again], ".vs")
    more = compared_under_others(context.config, prompts, again)
    judge.score(context.output(PREVIOUS), [*(item for _, item in again), *more])
    min_valid, contrast = context.config.judge.min_valid, context.config.evaluation.contrast
    before = mean_scores(read_rows(context.output(PREVIOUS), Judgement), min_valid)
    mine_scores = mean_scores(read_rows(context.output(JUDGEMENTS), Judgement), min_valid)
    ours_names = [ours[prompt.id].id for prompt in prompts]
    theirs_names = [f"{theirs[prompt.id].id}.vs" for prompt in prompts]
    by_contrast = None
    if contrast:
        weight = context.config.judge.contrast.weight
        own_contrasts, theirs_contrasts = contrasts(mine_scores, weight), contrasts(before, weight)
        by_contrast = [
            (own_contrasts.get(name), theirs_contrasts.get(other))
            for name, other in zip(ours_names, theirs_names, strict=True)
        ]
    return Duel(
        previous=previous,
        orders=[(preferred[f"{p.id}.first"].better, preferred[f"{p.id}.second"].better) for p in prompts]
        if pairwise
        else None,
        scores=[mine_scores.get(name) for name in ours_names],
        previous_scores=[before.get(name) for name in theirs_names],
        contrasts=by_contrast,
        characters=[len(ours[prompt.id].text) for prompt in prompts],
        previous_characters=[len(theirs[prompt.id].text) for prompt in prompts],
    )


def _samples(
    prompts: Mapping[str, Prompt],
    responses: Sequence[Candidate],
    scores: Mapping[str, float | None],
    seed: int,
    count: int = 5,
) -> list[dict[str, Any]]:
    """The first response to each of a few prompts, the same for every model of the run."""
    by_prompt = _by_prompt(responses)
    return [
        {"id": row.id, "prompt": last_turn(prompts[name].messages), "response": row.text, "score": scores.get(row.id)}
        for name in draw(by_prompt, seed, count)
        for row in (by_prompt[name][0],)
    ]


def _keys(config: Config) -> tuple[str, ...]:
    outside = ("endpoint.url", "endpoint.begin_score") if config.evaluation.judge.startswith(OUTSIDE) else ()
    return ("seed", *EVALUATION, *FIXED_JUDGE, *evaluation_keys(config), *ENGINE, *outside)


EVAL = Stage(
    "eval",
    "evaluation",
    run=evaluate,
    cost=costs.evaluation,
    reads=("policy", "judge", "held_out"),
    may_read=("previous", "previous_judgements", "previous_agreement"),
    writes=(
        "eval.json",
        *(f"{name}.jsonl" for name in ROWS),
    ),
    keys=_keys,
    measures=True,
    shows=of_evaluation,
)
