"""Judge the judge: its judgements of one response compared with one another, so that it can be trained on the better.

Source: Meta-Rewarding Language Models (arXiv 2407.19594), section 2.3: the responses whose judgements vary most, each
pair of judgements compared in both orders, wins weighted against the position that wins too often, Bradley-Terry (Elo)
scores, the best against the worst judgement as a preference pair. Here the model compares by its probabilities of the
answers A and B instead of a written comparison.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from judgeloop.judging.pairwise import ToCompare
from judgeloop.judging.parse_score import score_place
from judgeloop.judging.rubric import Rubric
from judgeloop.records import Message, Preference, PreferencePair, stable_id

TIE = "tie"
SAME_TEXT = "best and worst say the same"
TOO_LONG = "chosen judgement longer than meta.max_characters"
_VIRTUAL_WINS = 0.01
_NEWTON_STEPS, _SETTLED = 100, 1e-12
_ELO = 400 / math.log(10)


@dataclass(frozen=True, slots=True)
class Written:
    """A judgement that could be read: its id, its text up to its score line, and the score."""

    id: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Contested:
    """A response with its judgements (two or more); `task` is the judge prompt that they answer."""

    candidate_id: str
    prompt_id: str
    task: list[Message]
    judgements: tuple[Written, ...]

    @property
    def variance(self) -> float:
        """Sample variance of the scores."""
        return statistics.variance(judgement.score for judgement in self.judgements)


def through_score_line(text: str, rubric: Rubric) -> str:
    """A judgement up to the end of the line of its score: what a judge goes on to say is not to be imitated."""
    place = score_place(text, rubric.low, rubric.high, rubric.label, rubric.form)
    if place is None:
        return text.rstrip()
    end = place[1]
    line_end = min((place for place in (text.find("\n", end), text.find("\r", end)) if place >= 0), default=len(text))
    return text[:line_end].rstrip()


def least_certain(responses: Iterable[Contested], per_prompt: int, limit: int | None = None) -> list[Contested]:
    """The `per_prompt` responses of each prompt whose scores vary most; of all, the `limit` that vary most."""
    order = sorted(responses, key=lambda entry: (-entry.variance, entry.candidate_id))
    taken: dict[str, int] = {}
    kept = []
    for entry in order:
        taken[entry.prompt_id] = taken.get(entry.prompt_id, 0) + 1
        if taken[entry.prompt_id] <= per_prompt:
            kept.append(entry)
    return kept[:limit]


def to_compare(entry: Contested) -> list[ToCompare]:
    """Each two judgements of a response, in both orders."""
    return [
        ToCompare(comparison_id(one.id, other.id), entry.task, one.text, other.text)
        for one, other in itertools.permutations(entry.judgements, 2)
    ]


def comparison_id(first: str, second: str) -> str:
    return f"{first}>{second}"


def position_weights(found: Iterable[Preference | None]) -> tuple[float, float]:
    """What a win in the first and in the second position counts, from all comparisons of a model.

    w1 = wins of the second / all wins, w2 = wins of the first / all wins: a win against the model's habit counts more.
    Without any win both count half.
    """
    wins = [better for better in found if better in ("first", "second")]
    if not wins:
        return 0.5, 0.5
    second = wins.count("second") / len(wins)
    return second, 1 - second


def battles(
    names: Sequence[str], found: Mapping[str, Preference | None], weights: tuple[float, float]
) -> list[list[float]]:
    """The battle matrix: B[m][n] is what m's wins over n count, over both orders."""
    matrix = [[0.0] * len(names) for _ in names]
    for (m, one), (n, other) in itertools.permutations(enumerate(names), 2):
        better = found.get(comparison_id(one, other))
        if better == "first":
            matrix[m][n] += weights[0]
        elif better == "second":
            matrix[n][m] += weights[1]
    return matrix


def elo(matrix: Sequence[Sequence[float]]) -> list[float]:
    """Elo points (mean 0; 400 points are odds of ten to one) of the most likely Bradley-Terry strengths.

    Maximises Σ B[m][n] · log σ(ε_m − ε_n) by Newton's method, with a hundredth of a win each way between any two, so
    that a judgement that never lost has a finite score.
    """
    import numpy as np

    size = len(matrix)
    wins = np.array(matrix, dtype=float) + _VIRTUAL_WINS
    np.fill_diagonal(wins, 0.0)
    points = np.zeros(size)
    for _ in range(_NEWTON_STEPS):
        odds = 1 / (1 + np.exp(points[None, :] - points[:, None]))  # that m beats n
        gradient = (wins * (1 - odds)).sum(axis=1) - (wins.T * odds).sum(axis=1)
        weights = (wins + wins.T) * odds * (1 - odds)
        hessian = np.diag(weights.sum(axis=1)) - weights
        # Only differences count: the matrix of ones settles that the mean stays 0.
        step = np.linalg.solve(hessian + weights.sum() / size**2, gradient)
        step *= min(1.0, 1.0 / float(np.abs(step).max() or 1.0))  # at most a factor e at once: no overshooting
        points += step - step.mean()
        if np.abs(step).max() < _SETTLED:
            break
    return [_ELO * float(value) for value in points]


def judge_pair(entry: Contested, points: Sequence[float], max_characters: int | None = None) -> PreferencePair | str:
    """The best against the worst judgement of a response by Elo points, or the reason why there is none.

    `chosen_score` and `rejected_score` are Elo points; the ids are those of the judgements.
    """
    best = max(range(len(points)), key=lambda k: points[k])
    worst = min(range(len(points)), key=lambda k: points[k])
    if points[best] - points[worst] < 1e-6:
        return TIE
    chosen, rejected = entry.judgements[best], entry.judgements[worst]
    if chosen.text.strip() == rejected.text.strip():
        return SAME_TEXT
    if max_characters is not None and len(chosen.text) > max_characters:
        return TOO_LONG
    return PreferencePair(
        id=stable_id("pair", "judge", entry.candidate_id, chosen.id, rejected.id),
        prompt_id=entry.prompt_id,
        prompt=entry.task,
        chosen=[{"role": "assistant", "content": chosen.text}],
        rejected=[{"role": "assistant", "content": rejected.text}],
        chosen_id=chosen.id,
        rejected_id=rejected.id,
        chosen_score=round(points[best], 3),
        rejected_score=round(points[worst], 3),
    )


def scores_of(entry: Contested, found: Mapping[str, Preference | None], weights: tuple[float, float]) -> list[float]:
    """Elo points of a response's judgements from the comparisons of all."""
    return elo(battles([judgement.id for judgement in entry.judgements], found, weights))
