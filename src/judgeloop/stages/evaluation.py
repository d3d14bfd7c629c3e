"""What every model is measured by, on prompts that nothing was trained on: how its judge behaves, whether it agrees
with people, how long its answers are, and whether they beat the previous model's."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from judgeloop.engines.base import Engine, Sampling
from judgeloop.evaluation.metrics import Answered, Duel, measures
from judgeloop.jsonl import read_rows
from judgeloop.judging.pointwise import ToCompare, ToJudge
from judgeloop.models.chat import Chat
from judgeloop.pairs import mean_scores
from judgeloop.records import Candidate, Judgement, Prompt, RankedSet
from judgeloop.run.directory import write_json
from judgeloop.stages.context import Context, Outcome, evaluation_prompts, held_out_sets, sampling
from judgeloop.stages.evaluation_judge import EvaluationJudge, opened_judge
from judgeloop.stages.generation import respond
from judgeloop.stages.judging import repeated_scores

RESPONSES, JUDGEMENTS = "eval.responses.jsonl", "eval.judgements.jsonl"
AGREEMENT, COMPARISONS = "eval.agreement.jsonl", "eval.comparisons.jsonl"
PREVIOUS, IFEVAL = "eval.previous.judgements.jsonl", "eval.ifeval.jsonl"


def evaluate(context: Context) -> Outcome:
    """Answer the held-out prompts, judge the answers and the human-ranked ones, compare with the previous model."""
    started = time.monotonic()
    section, folder = context.config.evaluation, context.folder
    prompts = evaluation_prompts(context.run)
    chat = context.chat()
    engine = context.engine(context.step.model, chat)
    asked = [(prompt, tuple(chat.prompt_ids(prompt.messages))) for prompt in prompts]
    respond(context, folder / RESPONSES, lambda: engine, asked, section.samples, sampling(section.sampling),
            purpose="evaluation", keep_open=True)  # fmt: skip
    responses = read_rows(folder / RESPONSES, Candidate)

    followed = _ifeval(context, engine, chat) if section.ifeval is not None else None

    by_id = {prompt.id: prompt for prompt in prompts}
    ranked = held_out_sets(context.run)
    previous = _previous(context)
    with opened_judge(context, engine, chat) as judge:
        judge.score(
            folder / JUDGEMENTS, [ToJudge(row.id, by_id[row.prompt_id].messages, row.text) for row in responses]
        )
        judge.score(folder / AGREEMENT, _ranked_items(ranked))
        duel = _duel(context, prompts, responses, previous, judge) if previous is not None else None
    engine.close()

    given = read_rows(folder / JUDGEMENTS, Judgement)
    scores = mean_scores(given, context.config.judge.min_valid)
    answered = _answered(prompts, responses, scores)
    found = measures(
        answered,
        seed=context.config.seed,
        resamples=section.bootstrap,
        ranked=_ranked_scores(context, ranked),
        duel=duel,
        valid=[row.score is not None for row in given],
        repeated=repeated_scores(given),
        # An expected score never is exactly 5; 4.5 is what rounds to it.
        perfect=4.5 if context.config.judge.scoring == "expected" else 5.0,
    )
    write_json(
        folder / "eval.json",
        {
            "model": context.step.model,
            "judge": judge.name,
            "scoring": context.config.judge.scoring,
            **found,
            "ifeval": followed,
            "samples": _samples(by_id, responses, scores),
            "seconds": round(time.monotonic() - started, 2),
        },
    )
    files = [RESPONSES, JUDGEMENTS, AGREEMENT, *([COMPARISONS, PREVIOUS] if duel is not None else []), "eval.json"]
    files += [IFEVAL] if followed is not None else []
    return Outcome(tuple(files), {"rows": len(responses)})


def _previous(context: Context) -> str | None:
    """The model whose evaluation this one is compared with, where it was evaluated."""
    names = [name.partition("/")[0] for name in context.step.inputs if name.endswith("/eval")]
    return names[0] if names else None


def _ranked_items(ranked: Sequence[RankedSet]) -> list[ToJudge]:
    return [
        ToJudge(f"{entry.id}.{k}", entry.messages, response["text"])
        for entry in ranked
        for k, response in enumerate(entry.responses)
    ]


def _ranked_scores(context: Context, ranked: Sequence[RankedSet]) -> list[tuple[list[float | None], list[float]]]:
    given = read_rows(context.folder / AGREEMENT, Judgement)
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


def _answered(
    prompts: Sequence[Prompt], responses: Sequence[Candidate], scores: Mapping[str, float | None]
) -> list[Answered]:
    by_prompt = _by_prompt(responses)
    return [
        Answered(
            characters=[len(row.text) for row in by_prompt[prompt.id]],
            tokens=[len(row.token_ids) for row in by_prompt[prompt.id]],
            truncated=[row.finish_reason == "length" for row in by_prompt[prompt.id]],
            scores=[scores.get(row.id) for row in by_prompt[prompt.id]],
        )
        for prompt in prompts
    ]


def _duel(
    context: Context,
    prompts: Sequence[Prompt],
    responses: Sequence[Candidate],
    previous: str,
    judge: EvaluationJudge,
) -> Duel:
    """The first response of each model to each prompt, compared in both orders by the judge of this evaluation."""
    theirs_all = _by_prompt(read_rows(context.run.folder(previous) / RESPONSES, Candidate))
    ours_all = _by_prompt(responses)
    ours = {name: rows[0] for name, rows in ours_all.items()}
    theirs = {name: rows[0] for name, rows in theirs_all.items()}
    pairwise = context.config.evaluation.compare == "pairwise"
    items = []
    for prompt in prompts if pairwise else ():
        mine, other = ours[prompt.id].text, theirs[prompt.id].text
        items.append(ToCompare(f"{prompt.id}.first", prompt.messages, mine, other))
        items.append(ToCompare(f"{prompt.id}.second", prompt.messages, other, mine))
    preferred = judge.compare(context.folder / COMPARISONS, items)
    # Scores of both models' answers by one judge, so that they can be set side by side.
    again = [ToJudge(f"{row.id}.vs", prompt.messages, row.text) for prompt in prompts for row in (theirs[prompt.id],)]
    judge.score(context.folder / PREVIOUS, again)
    min_valid = context.config.judge.min_valid
    before = mean_scores(read_rows(context.folder / PREVIOUS, Judgement), min_valid)
    mine_scores = mean_scores(read_rows(context.folder / JUDGEMENTS, Judgement), min_valid)
    return Duel(
        previous=previous,
        orders=[(preferred[f"{p.id}.first"], preferred[f"{p.id}.second"]) for p in prompts] if pairwise else None,
        scores=[mine_scores.get(ours[prompt.id].id) for prompt in prompts],
        previous_scores=[before.get(f"{theirs[prompt.id].id}.vs") for prompt in prompts],
        characters=[len(ours[prompt.id].text) for prompt in prompts],
        previous_characters=[len(theirs[prompt.id].text) for prompt in prompts],
    )


def _ifeval(context: Context, engine: Engine, chat: Chat) -> dict[str, Any]:
    """How many verifiable instructions the model follows (greedy answers)."""
    from judgeloop.evaluation.ifeval_prompts import read_verifiable
    from judgeloop.evaluation.verifiable import Checker, summarise

    section, path = context.config.evaluation, context.folder / IFEVAL
    checker = Checker()  # before anything is generated: it may not be installed
    asked = read_verifiable(Path(str(section.ifeval)))[: section.ifeval_count]
    prompts = [Prompt(entry.id, [{"role": "user", "content": entry.prompt}], "IFEval") for entry in asked]
    ids = [(prompt, tuple(chat.prompt_ids(prompt.messages))) for prompt in prompts]
    how = Sampling(section.ifeval_max_new_tokens)
    respond(context, path, lambda: engine, ids, 1, how, purpose="ifeval", keep_open=True)
    given = {row.prompt_id: row for row in read_rows(path, Candidate)}
    checked = [checker.check(entry, given[entry.id].text) for entry in asked]
    return {
        **summarise(checked, seed=context.config.seed, resamples=section.bootstrap),
        "max_new_tokens": section.ifeval_max_new_tokens,
        "cut_off": sum(given[entry.id].finish_reason == "length" for entry in asked),
    }


def _samples(
    prompts: Mapping[str, Prompt], responses: Sequence[Candidate], scores: Mapping[str, float | None], count: int = 5
) -> list[dict[str, Any]]:
    firsts = [rows[0] for rows in _by_prompt(responses).values()][:count]
    return [
        {"prompt": prompts[row.prompt_id].messages[-1]["content"], "response": row.text, "score": scores.get(row.id)}
        for row in firsts
    ]
