"""Judged candidates become preference pairs."""

from __future__ import annotations

from collections.abc import Sequence

from judgeloop.config import Config
from judgeloop.jsonl import read_rows, write_rows_atomically
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.pairs import PairRule, best_chosen, make_pairs, swapped_by_a_coin
from judgeloop.records import Candidate, Judgement, Prompt
from judgeloop.run.directory import write_json
from judgeloop.stages.context import Context, Outcome, read_anchors


def pair_rule(config: Config, iteration: int) -> PairRule:
    """How an iteration's pairs are chosen, as the config says; iteration 1 makes M2."""
    return PairRule(
        margin=config.pairs.margin,
        unfinished=config.pairs.unfinished,
        length_rho=config.pairs.rho(iteration),
        max_pairs=config.pairs.max_per_prompt,
    )


def pairs(context: Context) -> Outcome:
    """Best against worst of each prompt; every prompt ends in one account."""
    config, folder = context.config, context.folder
    prompts = read_rows(folder / "prompts.jsonl", Prompt)
    rows = read_rows(folder / "candidates.jsonl", Candidate)
    anchors = read_anchors(folder)
    scores = mean_scores(read_rows(folder / "judgements.jsonl", Judgement), config.judge.min_valid)
    made, account = make_pairs(prompts, rows, scores, pair_rule(config, context.iteration()), anchors)
    found = best_chosen(made, config.pairs.share(context.iteration()))
    if config.pairs.control == "random":
        cut = {row.id for row in (*rows, *anchors) if row.finish_reason != "stop"}
        found = swapped_by_a_coin(found, config.seed, cut)
    write_rows_atomically(folder / "pairs.jsonl", found)
    text = {row.id: row.text for row in (*rows, *anchors)}
    with_pair = account.pop("pair", 0)
    written = {
        "prompts": len(prompts),
        "with_pair": with_pair,
        "pairs": len(found),
        "ties": account.pop("tie", 0),
        "dropped": dict(account),
        "below_top_share": len(made) - len(found),
        "chosen_mean_characters": _mean([len(text[pair.chosen_id]) for pair in found]),
        "rejected_mean_characters": _mean([len(text[pair.rejected_id]) for pair in found]),
    }
    if anchors:
        earlier = {row.id for row in anchors}
        written["rejected_by_anchor"] = sum(pair.rejected_id in earlier for pair in found)
    write_json(folder / "pairs.json", written)
    return Outcome(("pairs.jsonl",), {"rows": len(found)})


def _mean(values: Sequence[int]) -> float | None:
    return round(sum(values) / len(values), 1) if values else None
