from __future__ import annotations

import pytest

from judgeloop.evaluation.consistency import consistency


def test_by_hand() -> None:
    # Six pairs of four responses; the second prompt has one of three pairs the other way round: τ = 1/3.
    found = consistency([([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4]), ([1.0, 2.0, 3.0], [2.0, 1.0, 3.0])])
    assert found.rate == pytest.approx((1 + (1 / 3 + 1) / 2) / 2)
    assert found.smoothing == pytest.approx(1 - (1 + 2 / 3) / 2)
    assert found.prompts == 2


def test_judges_that_contradict_each_other_leave_nothing_to_learn() -> None:
    found = consistency([([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])])
    assert (found.rate, found.smoothing) == (0.0, 0.5)


def test_what_cannot_be_ordered_is_left_out_and_nothing_known_is_no_trust() -> None:
    rows = [([1.0, None, 3.0], [1.0, 2.0, 3.0]), ([2.0, 2.0], [1.0, 3.0]), ([None, 1.0], [1.0, None]), ([], [])]
    assert consistency(rows).prompts == 1
    assert consistency(rows).rate == 1.0
    assert consistency(rows[1:]) == consistency([])
    assert (consistency([]).rate, consistency([]).smoothing) == (None, 0.5)
