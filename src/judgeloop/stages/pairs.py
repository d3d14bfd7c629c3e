"""Judged candidates become preference pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from judgeloop.config import Config
from judgeloop.config.choices import PAIR_RULES
from judgeloop.jsonl import write_rows_atomically
from judgeloop.pair_account import in_words, reasons_of
from judgeloop.pairs import Judged, PairRule
from judgeloop.records import MAX_SCORE, Candidate, Judgement, Prompt
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.stage import Stage
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.contrast import pair_keys, pair_scores, pairs_by_contrast


def pairs(context: Context) -> Outcome:
    """Best against worst of each prompt, or what another rule chooses; every prompt ends in one account."""
    config = context.config
    anchors, ahead = context.rows("anchors", Candidate), context.rows("ahead", Candidate)
    scores, own = pair_scores(config, context.rows("judgements", Judgement))
    contrast = config.judge.contrast if pairs_by_contrast(config) else None
    floor = contrast.floor if contrast is not None else None
    poor = {name for name, score in own.items() if floor is not None and score is not None and score < floor}
    judged = Judged(
        prompts=context.rows("prompts", Prompt),
        candidates=context.rows("candidates", Candidate),
        anchors=anchors,
        scores=scores,
        never_chosen=poor,
        least=0.0 if contrast is None else -contrast.weight * MAX_SCORE,
        ahead=ahead,
    )
    rule: PairRule = PAIR_RULES[config.pairs.rule]
    made = rule(judged, config.pairs, context.iteration(), config.seed)
    write_rows_atomically(context.output(), made.pairs)
    text = {row.id: row.text for row in (*judged.candidates, *anchors, *ahead)}
    account = dict(made.account)
    written = {
        "prompts": len(judged.prompts),
        "with_pair": account.pop("pair", 0),
        "pairs": len(made.pairs),
        "ties": account.pop("tie", 0),
        "dropped": account,
        "below_top_share": made.below_top_share,
        "chosen_mean_characters": _mean([len(text[pair.chosen_id]) for pair in made.pairs]),
        "rejected_mean_characters": _mean([len(text[pair.rejected_id]) for pair in made.pairs]),
    }
    if contrast is not None:
        scored = [name for name in text if own.get(name) is not None]
        written["contrast"] = {
            "weight": contrast.weight,
            "responses_without": sum(scores.get(name) is None for name in scored),
            "responses_below_floor": len(poor),
        }
    if anchors:
        earlier = {row.id for row in anchors}
        written["rejected_by_anchor"] = sum(pair.rejected_id in earlier for pair in made.pairs)
    if ahead:
        later = {row.id for row in ahead}
        written["chosen_from_provisional"] = sum(pair.chosen_id in later for pair in made.pairs)
    write_json(context.output(context.step.writes[1]), written)
    reasons = reasons_of(written)
    without = f"{sum(reasons.values())} of {len(judged.prompts)} prompts gave no pair: {in_words(reasons)}"
    return Outcome({"rows": len(made.pairs), **({"yields": [without]} if reasons else {})})


def _keys(config: Config) -> tuple[str, ...]:
    floor = ("judge.contrast.floor",) if pairs_by_contrast(config) else ()
    return ("seed", "pairs", "judge.min_valid", *pair_keys(config), *floor)


def _mean(values: Sequence[int]) -> float | None:
    return round(sum(values) / len(values), 1) if values else None


PAIRS = Stage(
    "pairs",
    "preference pairs",
    run=pairs,
    cost=costs.pairs,
    reads=("prompts", "candidates", "judgements"),
    may_read=("anchors", "ahead"),
    writes=("pairs.jsonl", "pairs.json"),
    keys=_keys,
    light=True,
)
FIRST_PAIRS = replace(
    PAIRS,
    name="first_pairs",
    title="pairs for a provisional next model",
    writes=("first_pairs.jsonl", "first_pairs.json"),
)
