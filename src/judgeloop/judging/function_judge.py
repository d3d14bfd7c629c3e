"""Scores from a function of the user's instead of a model: an oracle, a verifier, a reward model of another kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from judgeloop.errors import InputError
from judgeloop.judging.pointwise import ToJudge, judgement_id
from judgeloop.records import MAX_SCORE, Judgement

FUNCTION, SIGNATURE = "judge.function", "score(messages, response, finished)"
NO_SCORE = "the function gives no score"


def judge_by_function(
    function: Callable[..., Any], items: Sequence[ToJudge], finished: Sequence[bool], key: str
) -> Iterator[Judgement]:
    """One judgement an item: what `function(messages, response, finished)` returns, a number from 0 to 5, or None for
    no score. `key` is the config key that names the function.

    Raises InputError if it fails or returns anything else.
    """
    for item, done in zip(items, finished, strict=True):
        try:
            score = function(item.prompt, item.response, done)
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{key}: score() fails with {type(error).__name__}: {error} on {item.id}; run it by itself"
            ) from error
        if score is not None and not _on_scale(score):
            raise InputError(f"{key}: score() returns {score!r} on {item.id}; return a number from 0 to 5, or None")
        reason = NO_SCORE if score is None else None
        yield Judgement(judgement_id(item.id, 0), item.id, 0, "", None if score is None else float(score), reason)


def _on_scale(score: object) -> bool:
    return isinstance(score, (int, float)) and math.isfinite(score) and 0 <= score <= MAX_SCORE
