"""The best pairs of instruction and text, by their scores (Instruction Backtranslation, arXiv 2308.06259, section
2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.config import BacktranslationSection
from judgeloop.instructions.backtranslation.training_rows import system_prompts, with_system
from judgeloop.instructions.yield_counts import KEPT, YieldCounts
from judgeloop.records import SupervisedRow


@dataclass(frozen=True, slots=True)
class Kept:
    """A pair that was kept, under the kept rows' system prompt, and its score."""

    row: SupervisedRow
    score: float


def curate(
    rows: Sequence[SupervisedRow], scores: Mapping[str, float | None], config: BacktranslationSection
) -> tuple[list[Kept], dict[str, Any]]:
    """The pairs that are kept, best first: of each text the best one, then by `config.keep` those whose score reaches
    the threshold, or the best share of the texts.

    The account says which rule decided and what it came to, how many pairs had which score, and samples.
    """
    yields = YieldCounts()
    scored = [(score, row) for row in rows if (score := scores.get(row.id)) is not None]
    for row in rows:
        if scores.get(row.id) is None:
            yields.drop("no score", _sample(row, None))
    scored.sort(key=lambda pair: (-pair[0], pair[1].id))
    best: dict[str, tuple[float, SupervisedRow]] = {}
    for score, row in scored:
        if best.setdefault(row.completion[0]["content"], (score, row))[1] is not row:
            yields.drop("another instruction for the text scored higher", _sample(row, score))
    candidates = list(best.values())
    if config.keep == "threshold":
        number = sum(score >= config.threshold for score, _ in candidates)
        rule, below = f"score of at least {config.threshold:g}", "below the threshold"
    else:
        number = round(config.top_share * len(candidates))
        rule, below = f"best {config.top_share:.0%} of the texts", "not among the best"
    for score, row in candidates[number:]:
        yields.drop(below, _sample(row, score))
    prompt = system_prompts(config)[1]
    kept = [Kept(with_system(row, prompt), score) for score, row in candidates[:number]]
    values = sorted(score for score, _ in scored)
    counted = yields.as_account()
    account = {
        "rule": rule,
        "pairs": len(rows),
        "scored": len(scored),
        "texts": len(candidates),
        "kept": len(kept),
        "lowest_kept": kept[-1].score if kept else None,
        "histogram": _histogram(values) if config.curation.scoring != "likelihood" else None,
        "quantiles": {name: _quantile(values, share) for name, share in _QUANTILES.items()} if values else {},
        "dropped": counted["dropped"],
        "kept_samples": [_sample(pair.row, pair.score) for pair in kept[:KEPT]],
        "dropped_samples": counted["samples"]["dropped"],
    }
    return kept, account


_QUANTILES = {"least": 0.0, "10%": 0.1, "50%": 0.5, "90%": 0.9, "most": 1.0}


def _histogram(values: Sequence[float]) -> dict[str, int]:
    """Pairs by score, rounded to whole ones."""
    return {str(level): sum(round(value) == level for value in values) for level in range(1, 6)}


def _quantile(ordered: Sequence[float], share: float) -> float:
    return round(ordered[round(share * (len(ordered) - 1))], 4)


def _sample(row: SupervisedRow, score: float | None) -> dict[str, Any]:
    return {
        "source": row.source,
        "instruction": row.prompt[-1]["content"],
        "text": row.completion[0]["content"][:300],
        "score": score,
    }
