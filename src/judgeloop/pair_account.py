"""Why prompts gave no pair, in words, and what helps against it."""

from __future__ import annotations

from collections.abc import Mapping

from judgeloop import pairs

_SHOWN = 3  # reasons that are named; the rest are few
_LARGE = 0.25  # share of the prompts without a pair from which a reason's remedy is named
REMEDIES: dict[str, str] = {
    pairs.TIE: "raise candidates.sampling.temperature or candidates.count, or set judge.scoring: expected",
    pairs.WITHIN_MARGIN: "lower pairs.margin",
    pairs.TOO_FEW_FINISHED: "raise candidates.sampling.max_new_tokens (answers were cut off), or set "
    "pairs.unfinished: zero",
    pairs.BELOW_FLOOR: "lower judge.contrast.floor",
    pairs.NONE_FINISHED: "raise candidates.sampling.max_new_tokens (the best answers were cut off)",
    pairs.NO_ANCHOR: "raise pairs.anchor_count, or set pairs.rejected: own",
    pairs.ANCHOR_AS_GOOD: "name an earlier model in pairs.anchor, or set pairs.rejected: own",
    pairs.TOO_FEW_ANSWERS: "raise candidates.sampling.max_new_tokens (a thought that does not end leaves no answer) or "
    "candidates.count",
    pairs.TOO_FEW_SCORED: "set judge.scoring: expected or lower judge.min_valid (judgements could not be read, see "
    "judge.json)",
    pairs.WIDE_GAP: "raise pairs.max_gap",
    pairs.LOW_REJECTED: "lower pairs.min_rejected",
    pairs.SHORT_REJECTED: "lower pairs.min_rejected_characters",
    pairs.SAME_TEXT: "raise candidates.sampling.temperature",
}


def reasons_of(account: Mapping[str, object]) -> dict[str, int]:
    """Reason → prompts without a pair, the most frequent first, of a `pairs.json`."""
    dropped = account.get("dropped")
    found = {pairs.TIE: account.get("ties"), **(dropped if isinstance(dropped, dict) else {})}
    counts = {str(reason): count for reason, count in found.items() if isinstance(count, int) and count > 0}
    return dict(sorted(counts.items(), key=lambda entry: -entry[1]))


def in_words(reasons: Mapping[str, int]) -> str:
    """ "120 fewer than two finished candidates, 30 tie, 4 for other reasons"."""
    named = [f"{count} {reason}" for reason, count in list(reasons.items())[:_SHOWN]]
    rest = sum(list(reasons.values())[_SHOWN:])
    return ", ".join([*named, *([f"{rest} for other reasons"] if rest else [])])


def remedies(reasons: Mapping[str, int]) -> str:
    """What helps against the largest reasons; a pair rule of the user's own may have others."""
    total = sum(reasons.values())
    large = [REMEDIES[reason] for reason, count in reasons.items() if reason in REMEDIES and count >= _LARGE * total]
    return "; ".join(large) or "lower pairs.margin, or raise candidates.count or prompts.count"
