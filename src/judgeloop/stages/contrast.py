"""Judging under other prompts, as the stages have it: who is judged under which, what it costs, who reads contrasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from judgeloop.config import Config
from judgeloop.judging.contrast import (
    contrasts,
    draw_others,
    measured_prompts,
    response_and_other,
    under_others,
)
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pointwise import ToJudge
from judgeloop.records import Judgement, Prompt
from judgeloop.run.plan import OUTSIDE
from judgeloop.stages.keys import of

Scores = Mapping[str, float | None]
DRAWN = of("judge.contrast", "draw", "max_similarity")


def pairs_by_contrast(config: Config) -> bool:
    """Whether pairs are made by contrasts."""
    return config.judge.contrast.others > 0 and config.pairs.contrast


def pair_scores(config: Config, judgements: Sequence[Judgement]) -> tuple[Scores, Scores]:
    """What pairs are made by, contrasts or own scores, and the own scores; by response."""
    means = mean_scores(judgements, config.judge.min_valid)
    own = {name: score for name, score in means.items() if response_and_other(name)[1] is None}
    return (contrasts(means, config.judge.contrast.weight) if pairs_by_contrast(config) else own), own


def candidates_under_others(
    config: Config, prompts: Sequence[Prompt], asked: Sequence[tuple[str, ToJudge]], measured: Collection[str]
) -> list[ToJudge]:
    """An iteration's responses, each with the id of its prompt, under other prompts: all of them if scores are set
    against these; else, to measure the judge, those among `measured` that answer one of a few prompts."""
    section = config.judge.contrast
    if section.others:
        drawn = draw_others(prompts, section, config.seed, count=section.others, required="judge.contrast.others")
        return under_others(asked, drawn)
    if not section.measure or config.judge.function is not None:
        return []
    few = measured_prompts((prompt.id for prompt in prompts), section.measure, config.seed)
    others = draw_others(prompts, section, config.seed, count=1)
    return under_others(((name, item) for name, item in asked if name in few and item.id in measured), others)


def evaluated_under_others(
    config: Config, prompts: Sequence[Prompt], asked: Sequence[tuple[str, ToJudge]], compared: Collection[str]
) -> list[ToJudge]:
    """An evaluation's responses under other prompts: those that are `compared` if win rates are by contrast, and, to
    measure the judge, all responses to a few prompts."""
    section, by_contrast = config.judge.contrast, config.evaluation.contrast
    if not by_contrast and not section.measure:
        return []
    others = _of_evaluation(config, prompts)
    few = measured_prompts((prompt.id for prompt in prompts), section.measure, config.seed)
    return under_others(
        ((name, item) for name, item in asked if name in few or (by_contrast and item.id in compared)), others
    )


def compared_under_others(
    config: Config, prompts: Sequence[Prompt], asked: Sequence[tuple[str, ToJudge]]
) -> list[ToJudge]:
    """The responses of the model before under the same other prompts, if win rates are by contrast."""
    return under_others(asked, _of_evaluation(config, prompts)) if config.evaluation.contrast else []


def _of_evaluation(config: Config, prompts: Sequence[Prompt]) -> dict[str, list[Prompt]]:
    section, seed = config.judge.contrast, config.seed
    if not config.evaluation.contrast:
        return draw_others(prompts, section, seed, count=1)
    return draw_others(prompts, section, seed, count=section.others, required="evaluation.contrast")


def there_are_others(config: Config, of_files: Sequence[Prompt], evaluated: Sequence[Prompt]) -> None:
    """Raise InputError if the prompts that are known before anything is trained, those of the config's files and of the
    evaluation, are too few or too alike to be set against each other."""
    section = config.judge.contrast
    if section.others and of_files:
        draw_others(of_files, section, config.seed, count=section.others, required="judge.contrast.others")
    if section.others and config.evaluation.contrast:
        _of_evaluation(config, evaluated)


def cost(config: Config) -> str | None:
    """What contrast costs, said before anything is judged; None if it is off."""
    k = config.judge.contrast.others
    if not k:
        return None
    who = config.judge.role.removeprefix(OUTSIDE) if config.judge.role.startswith(OUTSIDE) else None
    paid = f" by {who}, which is asked and paid for" if who else ""
    prompts = "1 other prompt" if k == 1 else f"{k} other prompts"
    return f"judge.contrast: each response is judged{paid} {1 + k} times as often, under {prompts} too"


def account(rows: Sequence[Judgement], more: Sequence[ToJudge], wanted: int) -> dict[str, Any]:
    """What came of the judgements of `more`, the responses under other prompts, of which as many as `wanted` were to
    be: fewer prompts may differ enough. Empty if none were judged."""
    if not more:
        return {}
    found = [row for row in rows if response_and_other(row.candidate_id)[1] is not None]
    reasons = Counter(str(row.reason) for row in found if row.score is None)
    missing = {"prompts_too_alike_for": wanted - len(more)} if wanted > len(more) else {}
    return {"judgements": len(found), **missing, **({"without_score": dict(reasons)} if reasons else {})}


def told(found: Mapping[str, Any], judged: int) -> list[str]:
    """The account in a line, for the end of the step; `judged` counts all its judgements."""
    if not found:
        return []
    parts = [f"{found['judgements']} of {judged} judgements under other prompts"]
    parts += [f"{count} without a score: {reason}" for reason, count in found.get("without_score", {}).items()]
    if missing := found.get("prompts_too_alike_for"):
        parts.append(
            f"{missing} more were not to be had, too few prompts differ enough (judge.contrast.max_similarity)"
        )
    return [f"judge.contrast: {'; '.join(parts)}"]


def judge_keys(config: Config) -> tuple[str, ...]:
    """The keys that say which candidates are judged under which other prompts."""
    section = config.judge.contrast
    wanted = ("judge.contrast.others", *(() if section.others else ("judge.contrast.measure",)))
    return (*wanted, *(DRAWN if section.others or section.measure else ()))


def pair_keys(config: Config) -> tuple[str, ...]:
    """The keys that say which scores pairs are made by, and how."""
    return ("judge.contrast.weight",) if pairs_by_contrast(config) else ()


def evaluation_keys(config: Config) -> tuple[str, ...]:
    """The keys that say which responses of an evaluation are judged under which other prompts, and what for."""
    section, by_contrast = config.judge.contrast, config.evaluation.contrast
    return (
        "judge.contrast.measure",
        *(DRAWN if by_contrast or section.measure else ()),
        *(of("judge.contrast", "others", "weight") if by_contrast else ()),
    )
