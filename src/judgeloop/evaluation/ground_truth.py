"""Ground truth: what a function of the user's own says of every response, beside what the judge believes of it."""

from __future__ import annotations

import copy
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.evaluation.agreement import pairwise_accuracy
from judgeloop.evaluation.statistics import Interval, as_dict, mean_interval

PASSES = "passes"  # the measure of a function that only says yes or no
Measures = dict[str, float]


@dataclass(frozen=True, slots=True)
class ResponseChecker:
    """The user's `check(prompt, response, finished)`, the file it comes from, and the prompts' field to group by."""

    path: Path
    check: Callable[..., Any]
    group: str | None = None


@dataclass(frozen=True, slots=True)
class CheckedResponse:
    """One response with its measures, each from 0 to 1; the first named is the headline."""

    id: str
    prompt_id: str
    finished: bool
    measures: Measures

    def as_dict(self) -> dict[str, Any]:
        """The row of `checks.jsonl`."""
        return asdict(self)


def check_response(
    checker: ResponseChecker, prompt: Mapping[str, Any], response: str, *, finished: bool, where: str
) -> Measures:
    """What the checker says of one response. `where` names the prompt's row in errors ("prompts.jsonl:3").

    Raises InputError if the function fails, or returns neither a bool nor a mapping of names to numbers in [0, 1].
    """
    try:
        found = checker.check(copy.deepcopy(dict(prompt)), response, finished)
        # The mapping is the user's, too: reading it may fail.
        named = dict(found) if isinstance(found, Mapping) else {PASSES: found} if isinstance(found, bool) else None
    except (Exception, SystemExit) as error:
        problem = f"check() fails with {type(error).__name__} ({_one_line(error)}) on a response to {where}"
        remedy = "mend it and run the same command again"
        raise InputError.at(checker.path, _line_of(error, checker.path), problem, remedy) from error
    if not named or not all(_is_measure(name, value) for name, value in named.items()):
        raise InputError.at(
            checker.path,
            None,
            f"check() returns {_short(found)} for a response to {where}",
            "return True, False, or a dict of names to numbers from 0 to 1",
        )
    return {name: float(value) for name, value in named.items()}


def same_measures(checker: ResponseChecker, names: Sequence[str], found: Measures, where: str) -> None:
    """Raise InputError if a response has other measures than the first one."""
    if set(names) != set(found):
        raise InputError.at(
            checker.path,
            None,
            f"check() names {', '.join(found)} for a response to {where}, and {', '.join(names)} for the first one",
            "return the same names for every response",
        )


def ground_truth(
    checked: Sequence[CheckedResponse],
    *,
    seed: int,
    resamples: int = 1000,
    previous: Sequence[CheckedResponse] = (),
    scores: Mapping[str, float | None] | None = None,
    groups: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The figures of `checks.json`: every interval is over prompts, of the means over a prompt's responses.

    `previous` holds the checks of the model before (paired by prompt), `scores` the judge's mean score by response id,
    `groups` the group by prompt id. Needs at least one response.
    """
    names = list(checked[0].measures)
    headline = names[0]
    means = {name: prompt_means(checked, name) for name in names}

    def interval(values: Sequence[float], least: float = 0) -> Interval | None:
        return mean_interval(values, seed=seed, resamples=resamples, bounds=(least, 1))

    differences = {}
    if previous:
        for name in names:
            before = prompt_means(previous, name) if name in previous[0].measures else {}
            both = [value - before[prompt] for prompt, value in means[name].items() if prompt in before]
            differences[name] = as_dict(interval(both, -1))
    accuracies = judge_accuracies(checked, headline, scores or {})
    by_group: dict[str, list[float]] = {}
    for prompt, value in means[headline].items():
        if groups is not None and prompt in groups:
            by_group.setdefault(groups[prompt], []).append(value)
    return {
        "headline": headline,
        "prompts": len(means[headline]),
        "responses": len(checked),
        "measures": {name: as_dict(interval(list(values.values()))) for name, values in means.items()},
        "differences": differences,
        "judge_accuracy": as_dict(interval(accuracies)),
        "groups": {name: as_dict(interval(values)) for name, values in sorted(by_group.items())},
        "without_group": None if groups is None else sum(prompt not in groups for prompt in means[headline]),
    }


def prompt_means(checked: Sequence[CheckedResponse], name: str) -> dict[str, float]:
    """Prompt id → mean of one measure over its responses."""
    values: dict[str, list[float]] = {}
    for row in checked:
        values.setdefault(row.prompt_id, []).append(row.measures[name])
    return {prompt: sum(found) / len(found) for prompt, found in values.items()}


def judge_accuracies(
    checked: Sequence[CheckedResponse], headline: str, scores: Mapping[str, float | None]
) -> list[float]:
    """Of each prompt that has responses of different worth: the share of such pairs in which the judge's score is
    higher for the better one, ties half. Responses without a score are left out, as in `pairwise_accuracy`."""
    by_prompt: dict[str, list[CheckedResponse]] = {}
    for row in checked:
        by_prompt.setdefault(row.prompt_id, []).append(row)
    found = [
        pairwise_accuracy([scores.get(r.id) for r in rows], [-r.measures[headline] for r in rows], ties="half")
        for rows in by_prompt.values()
    ]
    return [share for share in found if share is not None]


def _is_measure(name: object, value: object) -> bool:
    number = isinstance(value, (bool, int, float)) and math.isfinite(value) and 0 <= value <= 1
    return isinstance(name, str) and bool(name.strip()) and number


def _line_of(error: BaseException, path: Path) -> int | None:
    """The last line of the user's file that the error passed through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None


def _one_line(error: BaseException) -> str:
    return _short(str(error), quoted=False) or "no message"


def _short(value: object, *, quoted: bool = True) -> str:
    text = " ".join((repr(value) if quoted else str(value)).split())
    return text if len(text) <= 100 else text[:99] + "…"
