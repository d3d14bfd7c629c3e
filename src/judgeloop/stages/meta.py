"""The judge's judgements of one response compared by the judge itself, and made pairs to train it on."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from judgeloop.jsonl import write_rows_atomically
from judgeloop.judging.meta import (
    Contested,
    Written,
    judge_pair,
    least_certain,
    position_weights,
    scores_of,
    through_score_line,
    to_compare,
)
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import Candidate, Judgement, PreferencePair, Prompt
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.stage import Stage
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.judges import endpoint_account, open_judge
from judgeloop.stages.keys import ENGINE, RUBRIC


def judge_pairs(context: Context) -> Outcome:
    """Best against worst judgement of the responses that the judge is least certain about."""
    section = context.config.judge.meta
    responses = _contested(context)
    chosen = least_certain(responses, section.per_prompt, section.max_pairs)
    with open_judge(context) as judge:
        compared = judge.compare(
            context.output("meta_comparisons"), [c for entry in chosen for c in to_compare(entry)], rubric="meta"
        )
    # A judge that finds the two alike prefers none.
    found: dict[str, Literal["first", "second"] | None] = {
        item.id: None if (better := compared[item.id].better) == "neither" else better
        for entry in chosen
        for item in to_compare(entry)
    }
    weights = position_weights(found.values())
    pairs: list[PreferencePair] = []
    account: Counter[str] = Counter()
    for entry in chosen:
        pair = judge_pair(entry, scores_of(entry, found, weights), section.max_characters)
        if isinstance(pair, str):
            account[pair] += 1
        else:
            pairs.append(pair)
    write_rows_atomically(context.output(), pairs)
    wins = Counter(found.values())
    write_json(
        context.output("judge_pairs.json"),
        {
            "responses": len(responses),
            "compared": len(chosen),
            "pairs": len(pairs),
            "dropped": dict(account),
            "comparisons": len(found),
            "wins_in_first_position": wins["first"],
            "wins_in_second_position": wins["second"],
            "position_weights": [round(weight, 6) for weight in weights],
        },
    )
    return Outcome({"rows": len(pairs), **endpoint_account(context)})


def _contested(context: Context) -> list[Contested]:
    """Responses with two or more judgements that could be read, an earlier model's left out."""
    config = context.config.judge
    rubric = load_rubric(config.rubric, config.language)
    prompts = {prompt.id: prompt for prompt in context.rows("prompts", Prompt)}
    written: dict[str, list[Judgement]] = {}
    for row in sorted(context.rows("judgements", Judgement), key=lambda row: (row.candidate_id, row.k)):
        if row.score is not None:
            written.setdefault(row.candidate_id, []).append(row)
    found = []
    for candidate in context.rows("candidates", Candidate):
        rows = written.get(candidate.id, [])[: config.meta.max_judgements]
        if len(rows) > 1:
            judgements = tuple(
                Written(row.id, through_score_line(row.text, rubric), row.score)
                for row in rows
                if row.score is not None
            )
            task = rubric.messages(prompts[candidate.prompt_id].messages, candidate.text)
            found.append(Contested(candidate.id, candidate.prompt_id, task, judgements))
    return found


META = Stage(
    "meta",
    "pairs of judgements",
    run=judge_pairs,
    cost=costs.meta,
    reads=("judge", "prompts", "candidates", "judgements"),
    writes=("judge_pairs.jsonl", "judge_pairs.json", "meta_comparisons.jsonl"),
    keys=("seed", "judge.meta", "judge.min_mass", *RUBRIC, *ENGINE),
    gives="judge_pairs",
)
