"""How blind to the prompt a judge is, by hand."""

from __future__ import annotations

import math
import random

import pytest

from judgeloop.evaluation.blindness import prompt_blindness


def scores(own: dict[str, float | None], **under: dict[str, float | None]) -> dict[str, float | None]:
    """`under`: other prompt → response → score."""
    return {**own, **{f"{name}@{other}": score for other, given in under.items() for name, score in given.items()}}


def blindness(rows: dict[str, float | None], *groups: str) -> float | None:
    found = prompt_blindness(rows, [list(group) for group in groups], seed=0, resamples=200)
    return None if found is None else found.value


def test_by_hand() -> None:
    # Within the prompt own scores deviate by -1, 0, 1 and the others by -1, 1, 0: Σxy = 1, Σx² = Σy² = 2.
    rows = scores({"a": 1, "b": 2, "c": 3}, p={"a": 0, "b": 2, "c": 1})
    assert blindness(rows, "abc") == pytest.approx(0.5)
    # A second prompt, whose scores all lie higher, with deviations ∓1 and ±2: Σxy = 1 - 4, Σx² = 4, Σy² = 2 + 8.
    rows |= scores({"d": 4, "e": 5, "f": 4.5}, p={"d": 5, "e": 3})
    assert blindness(rows, "abc", "de") == pytest.approx((1 - 1) / math.sqrt((2 + 0.5) * (2 + 2)))
    assert blindness(rows, "abc", "def") == pytest.approx(0)  # one judged one way is left out, not counted as 0


def test_a_judge_that_orders_responses_whatever_was_asked_is_at_1_and_a_stricter_other_changes_nothing() -> None:
    rows = scores({"a": 1, "b": 2, "c": 4}, p={"a": 0, "b": 1, "c": 3}, q={"a": 2, "b": 3, "c": 5})
    assert blindness(rows, "abc") == pytest.approx(1)


def test_more_others_leave_the_figure_what_it_is() -> None:
    rng = random.Random(0)
    own: dict[str, float | None] = {f"{p}{k}": rng.gauss(3, 1) for p in range(400) for k in range(4)}
    groups = [[f"{p}{k}" for k in range(4)] for p in range(400)]

    def other() -> dict[str, float | None]:
        return {name: 0.8 * (score or 0) + rng.gauss(0, 0.6) for name, score in own.items()}

    one, four = (scores(own, **{f"o{k}": other() for k in range(count)}) for count in (1, 4))
    first, second = (prompt_blindness(rows, groups, seed=0, resamples=300) for rows in (one, four))
    assert first is not None
    assert second is not None
    assert first.value == pytest.approx(0.8, abs=0.03)
    assert second.value == pytest.approx(first.value, abs=0.03)  # the mean of four others would give 0.94
    assert first.low < 0.8 < first.high
    assert first.n == 400


def test_nothing_to_tell() -> None:
    assert blindness({"a": 1, "b": 2}, "ab") is None
    assert blindness(scores({"a": 1, "b": 1}, p={"a": 2, "b": 3}), "ab") is None  # own scores tie
    assert blindness(scores({"a": 1, "b": None}, p={"a": 2, "b": 3}), "ab") is None
    assert blindness(scores({"a": 1, "b": 2}, p={"a": 2}, q={"b": 2}), "ab") is None  # under different prompts
    assert blindness(scores({"a": 1, "b": 2}, p={"a": None, "b": 3}), "ab") is None
