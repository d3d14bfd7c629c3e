"""EFT rows from a model's own answers, without truth, in the manner of Self-Taught Evaluators (arXiv 2408.02666,
section 3).

There a second answer is written for a similar instruction, so that it is wrong for the first, and judgements that say
so are trained on. Here an answer is set beside another prompt, best one on the same subject: it is right under its own
prompt and wrong under that one, and what is trained on are the judgements that agree. An answer gives two rows or none,
so that high and low scores are taught equally often.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from judgeloop.config import ContrastRowsSection, JudgeSection
from judgeloop.data.readers import supervised_row
from judgeloop.judging.contrast import name_under
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.meta import through_score_line
from judgeloop.judging.parse_score import parse_score
from judgeloop.judging.pointwise import ToJudge
from judgeloop.judging.rubric import Rubric
from judgeloop.records import Candidate, Judgement, Prompt, SupervisedRow, derive_seed
from judgeloop.text.thoughts import split_thought

UNFINISHED = "cut off by length, or empty"
NO_SCORE = "no score under its own prompt"
LOW_SCORE = "score under its own prompt below min_score"
PER_PROMPT = "above per_prompt"
NO_OTHER = "no other prompt to set it beside (draw, max_similarity)"
SAME_ANSWER = "the other prompt has the same answer"
MAX_ANSWERS = "above max_answers"
NO_OTHER_SCORE = "no score under the other prompt"
NOT_CLEAR = "score under the other prompt not lower by more than min_gap"
NO_JUDGEMENT = "no written judgement that can be taught under its own prompt"
NO_LOW_JUDGEMENT = "no written judgement of negative_score or less under the other prompt"
DUPLICATE = "the same rows again"


@dataclass(frozen=True, slots=True)
class Beside:
    """An answer with its own prompt, the `other` one that it is set beside, and its mean score under its own."""

    answer: Candidate
    prompt: Prompt
    other: Prompt
    score: float

    @property
    def under_other(self) -> ToJudge:
        """What the judge is asked about it."""
        return ToJudge(name_under(self.answer.id, self.other.id), self.other.messages, self.answer.text)


@dataclass(frozen=True, slots=True)
class ContrastRows:
    """`rows` with the score that each teaches, rounded; `own` and `others` are the mean scores, under their own prompts
    and under the others, of the answers that were asked about and have both."""

    rows: list[tuple[int, SupervisedRow]]
    own: float | None
    others: float | None


def set_beside(
    prompts: Sequence[Prompt],
    answers: Iterable[Candidate],
    scores: Mapping[str, float | None],
    others: Mapping[str, Sequence[Prompt]],
    section: ContrastRowsSection,
    seed: int,
    dropped: Counter[str],
) -> list[Beside]:
    """The answers to be judged under another prompt too; the others are counted in `dropped` by reason.

    `others` are the prompts that each may be set beside; the answers to one prompt take turns with them.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    of_prompt: dict[str, list[tuple[Candidate, float]]] = {}
    said: set[tuple[str, str]] = set()
    for answer in answers:
        said.add((answer.prompt_id, answer.text.strip()))
        score = scores.get(answer.id)
        if answer.finish_reason != "stop" or not answer.text.strip():
            dropped[UNFINISHED] += 1
        elif score is None:
            dropped[NO_SCORE] += 1
        elif score < section.min_score:
            dropped[LOW_SCORE] += 1
        else:
            of_prompt.setdefault(answer.prompt_id, []).append((answer, score))
    found = []
    for name, scored in sorted(of_prompt.items()):
        ordered = sorted(scored, key=lambda entry: (-entry[1], entry[0].id))
        dropped[PER_PROMPT] += len(ordered[section.per_prompt :])
        for number, (answer, score) in enumerate(ordered[: section.per_prompt]):
            if not others.get(name):
                dropped[NO_OTHER] += 1
                continue
            other = others[name][number % len(others[name])]
            if (other.id, answer.text.strip()) in said:
                dropped[SAME_ANSWER] += 1
                continue
            found.append(Beside(answer, by_id[name], other, score))
    if section.max_answers is not None and len(found) > section.max_answers:
        dropped[MAX_ANSWERS] += len(found) - section.max_answers
        drawn = random.Random(derive_seed(seed, "contrast rows")).sample(range(len(found)), section.max_answers)
        found = [found[place] for place in sorted(drawn)]
    return found


def contrast_rows(
    asked: Sequence[Beside],
    judgements: Iterable[Judgement],
    under_others: Iterable[Judgement],
    rubric: Rubric,
    section: ContrastRowsSection,
    judge: JudgeSection,
    source: str,
    dropped: Counter[str],
) -> ContrastRows:
    """Two rows of each answer whose judgements are consistent: its score under the other prompt is lower by more than
    `min_gap`. Those that give none are counted.

    A judge that is read by its probabilities alone is taught a score: its own, rounded, and `negative_score`. One that
    writes is taught what it wrote itself: of the judgements that give at least `min_score` the one nearest to their
    mean, and of those of the wrong pair that give at most `negative_score` the one nearest to that.
    """
    own, elsewhere = _by_name(judgements), _by_name(under_others)
    means = mean_scores((row for rows in elsewhere.values() for row in rows), judge.min_valid)
    rows: dict[str, tuple[int, SupervisedRow]] = {}
    both: list[tuple[float, float]] = []
    for one in asked:
        score = means.get(one.under_other.id)
        if score is None:
            dropped[NO_OTHER_SCORE] += 1
            continue
        both.append((one.score, score))
        if one.score - score <= section.min_gap:
            dropped[NOT_CLEAR] += 1
            continue
        right = _taught(own.get(one.answer.id, ()), one.score, section.min_score, math.inf, rubric, judge)
        wrong = _taught(
            elsewhere.get(one.under_other.id, ()), section.negative_score, -math.inf, section.negative_score, rubric,
            judge,
        )  # fmt: skip
        if right is None or wrong is None:
            dropped[NO_JUDGEMENT if right is None else NO_LOW_JUDGEMENT] += 1
            continue
        made = [
            (taught[0], _row(prompt, one.answer, taught[1], rubric, f"{source}:{name}"))
            for prompt, taught, name in (
                (one.prompt, right, one.answer.id), (one.other, wrong, one.under_other.id),
            )
        ]  # fmt: skip
        if any(row.id in rows for _, row in made):
            dropped[DUPLICATE] += 1
            continue
        rows |= {row.id: (score, row) for score, row in made}
    mean_own, mean_other = (_mean([pair[side] for pair in both]) for side in (0, 1))
    return ContrastRows(list(rows.values()), mean_own, mean_other)


def _by_name(judgements: Iterable[Judgement]) -> dict[str, list[Judgement]]:
    found: dict[str, list[Judgement]] = {}
    for row in judgements:
        found.setdefault(row.candidate_id, []).append(row)
    return {name: sorted(rows, key=lambda row: row.k) for name, rows in found.items()}


def _taught(
    written: Sequence[Judgement], wanted: float, low: float, high: float, rubric: Rubric, judge: JudgeSection
) -> tuple[int, str] | None:
    """The whole score and the text that a row teaches: of a judge that writes, its own judgement with a score from
    `low` to `high` that is nearest to the one `wanted`; None if there is none."""
    if judge.scoring == "expected" and not judge.justification:
        score = _whole(wanted)
        return score, rubric.target(score)
    fit = [row for row in written if row.score is not None and low <= _said(row, judge) <= high]
    for row in sorted(fit, key=lambda row: (abs(_said(row, judge) - wanted), row.k)):
        text = _text(row, rubric, judge)
        if text is not None:
            return _whole(_said(row, judge)), text
    return None


def _said(row: Judgement, judge: JudgeSection) -> float:
    """The score that a row of this judgement would teach: an expected one is taught as a whole score."""
    assert row.score is not None
    return _whole(row.score) if judge.scoring == "expected" else row.score


def _text(row: Judgement, rubric: Rubric, judge: JudgeSection) -> str | None:
    """The judgement as a row has it, without thought and without what comes after its score; None if it has no words,
    or if another score would be read from it."""
    assert row.score is not None
    spoken = (split_thought(row.text).answer or "").strip()
    if judge.scoring == "expected":
        reasons = spoken.rstrip("*_#>`\"'“‘ \n\t-")
        text = rubric.target(_whole(row.score), reasons) if reasons else ""
    else:
        text = through_score_line(spoken, rubric)
    read = parse_score(text, rubric.low, rubric.high, rubric.label, rubric.form).value
    return text if text and read == _said(row, judge) else None


def _whole(score: float) -> int:
    return math.floor(score + 0.5)


def _row(prompt: Prompt, answer: Candidate, text: str, rubric: Rubric, source: str) -> SupervisedRow:
    return supervised_row("eft", prompt.messages, rubric.messages(prompt.messages, answer.text), text, source)


def _mean(values: Sequence[float]) -> float | None:
    return round(math.fsum(values) / len(values), 6) if values else None
