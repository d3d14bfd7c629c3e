"""Pair rules: which two candidates of a prompt become chosen and rejected, and why none do.

Every prompt ends in exactly one account: a pair, or one of the reasons below. Pure functions of scored candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from judgeloop.records import Candidate, Judgement, Message, PreferencePair, Prompt, stable_id

TIE = "tie"
WITHIN_MARGIN = "within the margin"
TOO_FEW_FINISHED = "fewer than two finished candidates"
TOO_FEW_ANSWERS = "fewer than two candidates that say anything"
TOO_FEW_SCORED = "fewer than two candidates with a score"
SAME_TEXT = "best and worst say the same"


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with the mean of its valid judgements, None where it has too few."""

    candidate: Candidate
    score: float | None


def mean_scores(judgements: Iterable[Judgement], min_valid: int = 1) -> dict[str, float | None]:
    """Candidate id → mean over its valid judgements (the paper: K = 3), None with fewer than `min_valid` of them."""
    valid: dict[str, list[float]] = {}
    for judgement in judgements:
        scores = valid.setdefault(judgement.candidate_id, [])
        if judgement.score is not None:
            scores.append(judgement.score)
    return {name: sum(s) / len(s) if len(s) >= max(1, min_valid) else None for name, s in valid.items()}


def best_and_worst(
    candidates: Sequence[Scored], *, margin: float = 0.0, finished_only: bool = True
) -> tuple[Scored, Scored] | str:
    """The highest and the lowest scored candidate of one prompt, or the reason why they make no pair.

    Equal scores are a tie and make no pair (Self-Rewarding Language Models, section 2.4); among equals the first
    candidate is taken. With `finished_only`, answers cut off by length are left out first: cut answers teach cutting.
    Empty answers are left out always: there is nothing in them to prefer.
    """
    pool = [s for s in candidates if s.candidate.finish_reason == "stop"] if finished_only else list(candidates)
    if len(pool) < 2:
        return TOO_FEW_FINISHED
    pool = [s for s in pool if s.candidate.text.strip()]
    if len(pool) < 2:
        return TOO_FEW_ANSWERS
    scored = [(s, s.score) for s in pool if s.score is not None]
    if len(scored) < 2:
        return TOO_FEW_SCORED
    best, high = max(scored, key=lambda pair: pair[1])
    worst, low = min(scored, key=lambda pair: pair[1])
    if high == low:
        return TIE
    if high - low <= margin:
        return WITHIN_MARGIN
    if best.candidate.text.strip() == worst.candidate.text.strip():
        return SAME_TEXT
    return best, worst


def make_pairs(
    prompts: Sequence[Prompt],
    candidates: Sequence[Candidate],
    scores: Mapping[str, float | None],
    *,
    margin: float = 0.0,
    finished_only: bool = True,
) -> tuple[list[PreferencePair], Counter[str]]:
    """Pairs for all prompts, joined by id, and how many prompts ended in which account ("pair" or a reason)."""
    by_prompt: dict[str, list[Scored]] = {prompt.id: [] for prompt in prompts}
    for candidate in candidates:
        by_prompt[candidate.prompt_id].append(Scored(candidate, scores.get(candidate.id)))
    pairs: list[PreferencePair] = []
    account: Counter[str] = Counter()
    for prompt in prompts:
        found = best_and_worst(by_prompt[prompt.id], margin=margin, finished_only=finished_only)
        if isinstance(found, str):
            account[found] += 1
            continue
        account["pair"] += 1
        pairs.append(_pair(prompt, *found))
    return pairs, account


def _pair(prompt: Prompt, best: Scored, worst: Scored) -> PreferencePair:
    if best.score is None or worst.score is None:
        raise ValueError("a pair needs two scores")
    return PreferencePair(
        id=stable_id("pair", prompt.id, best.candidate.id, worst.candidate.id),
        prompt_id=prompt.id,
        prompt=prompt.messages,
        chosen=_answer(best.candidate),
        rejected=_answer(worst.candidate),
        chosen_id=best.candidate.id,
        rejected_id=worst.candidate.id,
        chosen_score=best.score,
        rejected_score=worst.score,
    )


def _answer(candidate: Candidate) -> list[Message]:
    return [{"role": "assistant", "content": candidate.text}]
