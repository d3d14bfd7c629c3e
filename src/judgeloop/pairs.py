"""Pair rules: which candidates of a prompt become chosen and rejected, and why none do.

Every prompt ends in exactly one account: a pair, or one of the reasons below. Pure functions of scored candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from judgeloop.config import PairsSection
from judgeloop.records import Candidate, Message, PreferencePair, Prompt, derive_seed, stable_id

Unfinished = Literal["left_out", "as_judged", "zero"]

TIE = "tie"
WITHIN_MARGIN = "within the margin"
TOO_FEW_FINISHED = "fewer than two finished candidates"
BELOW_FLOOR = "no finished candidate with an own score at judge.contrast.floor"
NONE_FINISHED = "no finished candidate scores above another"
NO_ANCHOR = "no answer of the anchor with a score"
ANCHOR_AS_GOOD = "the anchor's answers score as high"
TOO_FEW_ANSWERS = "fewer than two candidates that say anything"
TOO_FEW_SCORED = "fewer than two candidates with a score"
WIDE_GAP = "best and worst further apart than max_gap"
LOW_REJECTED = "rejected answer below min_rejected"
SHORT_REJECTED = "rejected answer shorter than min_rejected_characters"
SAME_TEXT = "best and worst say the same"
_EQUAL = 1e-9  # scores are means of a few numbers: what differs by less came out of the summing


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with the score that pairs are made by, None if it has none; `eligible`: it may be chosen, if it is
    finished."""

    candidate: Candidate
    score: float | None
    eligible: bool = True

    @property
    def length(self) -> int:
        """Characters, as the paper counts length."""
        return len(self.candidate.text.strip())


@dataclass(frozen=True, slots=True)
class BestWorst:
    """How best and worst are chosen.

    `margin`: scores must differ by more. `unfinished`: answers cut off by length are left out altogether, or may be
    rejected, by the judge's score or by the score 0; they are never chosen (chosen, they would teach cutting).
    `length_rho`: ρ of Meta-Rewarding's length control (arXiv 2407.19594, section 2.2), 0 is none. `max_pairs`: pairs a
    prompt may give. `least`: the score of an answer that was cut off, with `unfinished: zero`. `max_gap`,
    `min_rejected`, `min_rejected_characters`: a pair that leaves these bounds shows a poor prompt (RIP, arXiv
    2501.18578, section 3), and so gives none; None is no bound. `anchored`: an earlier model's answer is rejected
    always, not only if it scores lower.
    """

    margin: float = 0.0
    unfinished: Unfinished = "left_out"
    length_rho: float = 0.0
    max_pairs: int = 1
    least: float = 0.0
    max_gap: float | None = None
    min_rejected: float | None = None
    min_rejected_characters: int | None = None
    anchored: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """What a pair rule chooses from: prompts, candidates, an earlier model's answers (`anchors`), which may be
    rejected, those of a provisional next model (`ahead`), which may be chosen, and the mean score of each by its id,
    None if it has too few judgements.

    The scores may be contrasts (`judging.contrast`): `least` is the lowest that there can be, 0 for scores, and
    `never_chosen` are the candidates whose own score is too low to be an example, whatever their contrast."""

    prompts: Sequence[Prompt]
    candidates: Sequence[Candidate]
    anchors: Sequence[Candidate]
    scores: Mapping[str, float | None]
    never_chosen: Collection[str] = frozenset()
    least: float = 0.0
    ahead: Sequence[Candidate] = ()


@dataclass(frozen=True, slots=True)
class MadePairs:
    """`account` counts the prompts by what became of them, "pair" or a reason; `below_top_share` counts pairs left
    out."""

    pairs: list[PreferencePair]
    account: Counter[str]
    below_top_share: int = 0


class PairRule(Protocol):
    """What `pairs.rule` chooses: judged candidates of an iteration (the first is 1) to pairs. `seed` is the run's."""

    def __call__(self, judged: Judged, section: PairsSection, iteration: int, seed: int) -> MadePairs: ...


Ranked = tuple[Scored, float]


def usable(candidates: Sequence[Scored], rule: BestWorst) -> list[Ranked] | str:
    """The candidates that may take part, each with its score, or the reason why there are fewer than two.

    Empty answers are left out always (there is nothing in them to prefer), and so are candidates without a score: a
    judgement that cannot be read says nothing about the answer.
    """
    pool = [s for s in candidates if finished(s) or rule.unfinished != "left_out"]
    if len(pool) < 2:
        return TOO_FEW_FINISHED
    pool = [s for s in pool if s.candidate.text.strip()]
    if len(pool) < 2:
        return TOO_FEW_ANSWERS
    scored = _ranked(pool, rule)
    return scored if len(scored) >= 2 else TOO_FEW_SCORED


def _ranked(pool: Sequence[Scored], rule: BestWorst) -> list[Ranked]:
    zero = rule.unfinished == "zero"
    return [(s, rule.least if zero and not finished(s) else s.score) for s in pool if s.score is not None]


def finished(scored: Scored) -> bool:
    return scored.candidate.finish_reason == "stop"


def best(pool: Sequence[Ranked], rho: float = 0.0) -> Ranked | None:
    """The response to choose among finished candidates that are eligible, None if there is none.

    With ρ = 0 the highest score (Self-Rewarding Language Models, section 2.4), the first among equals. With ρ > 0 the
    *shortest* with a score in [(1−ρ)·max + ρ·min, max] (Meta-Rewarding, section 2.2); if the highest score belongs
    to an answer that may not be chosen, the band hangs from the highest that does not.
    """
    complete = [entry for entry in pool if finished(entry[0]) and entry[0].eligible]
    if not complete:
        return None
    floor = max(score for _, score in complete) - rho * _span(pool) - _EQUAL
    return min((e for e in complete if e[1] >= floor), key=lambda e: (e[0].length if rho else 0, -e[1]))


def worst(pool: Sequence[Ranked], rho: float = 0.0) -> Ranked:
    """The response to reject: the lowest score, the first among equals; with ρ > 0 the *longest* with a score in
    [min, (1−ρ)·min + ρ·max] (Meta-Rewarding, section 2.2)."""
    ceiling = min(score for _, score in pool) + rho * _span(pool) + _EQUAL
    return min((e for e in pool if e[1] <= ceiling), key=lambda e: (-e[0].length if rho else 0, e[1]))


def _span(pool: Sequence[Ranked]) -> float:
    scores = [score for _, score in pool]
    return max(scores) - min(scores)


def _to_reject(pool: Sequence[Ranked], anchors: Sequence[Ranked], rule: BestWorst) -> Ranked | None:
    """The worst candidate, or an earlier model's response if that scores lower; with `anchored` the latter's lowest in
    any case, None if there is none.

    Over the iterations a model's best and worst become alike; an earlier model's answer keeps them apart (Temporal
    Self-Rewarding Language Models, arXiv 2508.06026, "anchored rejection").
    """
    lowest = min(anchors, key=lambda e: e[1], default=None)
    if rule.anchored:
        return lowest
    rejected = worst(pool, rule.length_rho)
    return lowest if lowest is not None and lowest[1] < rejected[1] - _EQUAL else rejected


def _to_choose(pool: Sequence[Ranked], ahead: Sequence[Ranked], rule: BestWorst) -> Ranked | None:
    """The best candidate, or a provisional next model's answer if that scores higher (the same paper, "future-guided
    chosen")."""
    own, next_one = best(pool, rule.length_rho), best(ahead, rule.length_rho)
    return next_one if own is None or (next_one is not None and next_one[1] > own[1] + _EQUAL) else own


def pairs_of(
    candidates: Sequence[Scored],
    rule: BestWorst,
    anchors: Sequence[Scored] = (),
    ahead: Sequence[Scored] = (),
) -> list[tuple[Ranked, Ranked]] | str:
    """(chosen, rejected) pairs of one prompt, at least one, or the reason why there is none.

    The second pair is made as the first, of what that left over, and so on up to `max_pairs`; each response serves
    once. `anchors` are an earlier model's responses to the prompt: they may only be rejected. `ahead` are those of a
    provisional next model: they may only be chosen.
    """
    pool = usable(candidates, rule)
    if isinstance(pool, str):
        return pool
    standing, coming = (
        _ranked([s for s in given if s.candidate.text.strip() and (finished(s) or rule.unfinished != "left_out")], rule)
        for given in (anchors, ahead)
    )
    made: list[tuple[Ranked, Ranked]] = []
    reason = TIE
    while len(pool) >= 2 and len(made) < rule.max_pairs:
        chosen, rejected = _to_choose(pool, coming, rule), _to_reject(pool, standing, rule)
        if chosen is None or rejected is None:
            reason = NO_ANCHOR if rejected is None else _none_to_choose(pool)
            break
        problem = _problem(chosen, rejected, pool, rule)
        if problem is not None:
            reason = problem
            break
        made.append((chosen, rejected))
        pool, standing, coming = (
            [entry for entry in left if entry[0] not in (chosen[0], rejected[0])] for left in (pool, standing, coming)
        )
    return made or reason


def _none_to_choose(pool: Sequence[Ranked]) -> str:
    return BELOW_FLOOR if any(finished(scored) for scored, _ in pool) else NONE_FINISHED


def _problem(chosen: Ranked, rejected: Ranked, pool: Sequence[Ranked], rule: BestWorst) -> str | None:
    """Why these two make no pair."""
    difference = chosen[1] - rejected[1]
    if rule.anchored and difference < _EQUAL:
        return ANCHOR_AS_GOOD
    if abs(difference) < _EQUAL:
        return TIE if _span(pool) < _EQUAL else NONE_FINISHED
    if difference <= rule.margin:
        return WITHIN_MARGIN
    if rule.max_gap is not None and difference > rule.max_gap + _EQUAL:
        return WIDE_GAP
    if rule.min_rejected is not None and rejected[1] < rule.min_rejected - _EQUAL:
        return LOW_REJECTED
    if rule.min_rejected_characters is not None and rejected[0].length < rule.min_rejected_characters:
        return SHORT_REJECTED
    if chosen[0].candidate.text.strip() == rejected[0].candidate.text.strip():
        return SAME_TEXT
    return None


def make_pairs(
    prompts: Sequence[Prompt],
    candidates: Sequence[Candidate],
    scores: Mapping[str, float | None],
    rule: BestWorst | None = None,
    anchors: Sequence[Candidate] = (),
    never_chosen: Collection[str] = frozenset(),
    ahead: Sequence[Candidate] = (),
) -> tuple[list[PreferencePair], Counter[str]]:
    """Pairs for all prompts, joined by id, and how many prompts ended in which account ("pair" or a reason)."""
    own = _by_prompt(prompts, candidates, scores, never_chosen)
    earlier = _by_prompt(prompts, anchors, scores)
    later = _by_prompt(prompts, ahead, scores, never_chosen)
    pairs: list[PreferencePair] = []
    account: Counter[str] = Counter()
    for prompt in prompts:
        found = pairs_of(own[prompt.id], rule or BestWorst(), earlier[prompt.id], later[prompt.id])
        if isinstance(found, str):
            account[found] += 1
            continue
        account["pair"] += 1
        pairs += [_pair(prompt, chosen, rejected) for chosen, rejected in found]
    return pairs, account


def _by_prompt(
    prompts: Sequence[Prompt],
    candidates: Sequence[Candidate],
    scores: Mapping[str, float | None],
    never_chosen: Collection[str] = frozenset(),
) -> dict[str, list[Scored]]:
    """In the order of their ids, so that which of two equals comes first does not depend on who finished first."""
    found: dict[str, list[Scored]] = {prompt.id: [] for prompt in prompts}
    for candidate in sorted(candidates, key=lambda row: row.id):
        eligible = candidate.id not in never_chosen
        found[candidate.prompt_id].append(Scored(candidate, scores.get(candidate.id), eligible))
    return found


def _pair(prompt: Prompt, chosen: Ranked, rejected: Ranked) -> PreferencePair:
    return PreferencePair(
        id=stable_id("pair", prompt.id, chosen[0].candidate.id, rejected[0].candidate.id),
        prompt_id=prompt.id,
        prompt=prompt.messages,
        chosen=_answer(chosen[0].candidate),
        rejected=_answer(rejected[0].candidate),
        chosen_id=chosen[0].candidate.id,
        rejected_id=rejected[0].candidate.id,
        chosen_score=chosen[1],
        rejected_score=rejected[1],
    )


def best_worst(judged: Judged, section: PairsSection, iteration: int, seed: int) -> MadePairs:
    """The paper's rule (section 2.4) with the choices of the config's section `pairs`: margin, length control, the top
    share of the pairs, an earlier model's answers as rejected, and the control by a coin."""
    rho, most = section.rho(iteration), section.max_per_prompt
    choice = BestWorst(
        section.margin, section.unfinished, rho, most, judged.least, section.max_gap, section.min_rejected,
        section.min_rejected_characters, section.rejected == "anchored",
    )  # fmt: skip
    made, account = make_pairs(
        judged.prompts, judged.candidates, judged.scores, choice, judged.anchors, judged.never_chosen, judged.ahead
    )
    kept = best_chosen(made, section.share(iteration))
    if section.control == "random":
        everyone = (*judged.candidates, *judged.anchors, *judged.ahead)
        cut = {row.id for row in everyone if row.finish_reason != "stop"}
        kept = shuffle_labels(kept, seed, cut | set(judged.never_chosen))
    return MadePairs(kept, account, len(made) - len(kept))


def best_chosen(pairs: Sequence[PreferencePair], share: float) -> list[PreferencePair]:
    """The share of the pairs (at least one, if there are any) whose chosen answers score highest, in their order. A
    share, not a bound on the score, because scores rise over the iterations."""
    count = max(1, round(share * len(pairs)))
    kept = {pair.id for pair in sorted(pairs, key=lambda pair: (-pair.chosen_score, pair.id))[:count]}
    return [pair for pair in pairs if pair.id in kept]


def shuffle_labels(pairs: Sequence[PreferencePair], seed: int, cut: Collection[str] = ()) -> list[PreferencePair]:
    """The same pairs, each reversed or not at random: a control without judgement. Scores stay with
    their responses. `cut`: ids of responses that were cut off or may not be chosen; those stay rejected, here as in
    what is controlled."""
    return [
        _reversed(p) if p.rejected_id not in cut and derive_seed(seed, "control", p.prompt_id, p.id) % 2 else p
        for p in pairs
    ]


def _reversed(pair: PreferencePair) -> PreferencePair:
    return replace(
        pair,
        id=stable_id("pair", pair.prompt_id, pair.rejected_id, pair.chosen_id),
        chosen=pair.rejected, rejected=pair.chosen, chosen_id=pair.rejected_id, rejected_id=pair.chosen_id,
        chosen_score=pair.rejected_score, rejected_score=pair.chosen_score,
    )  # fmt: skip


def _answer(candidate: Candidate) -> list[Message]:
    return [{"role": "assistant", "content": candidate.text}]
