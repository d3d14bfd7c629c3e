from __future__ import annotations

import pytest

from judgeloop.judging.parse_score import Score
from judging import fuzz_judge_texts, fuzzing


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_judge_texts, "CHUNK", 8_000)


def test_eight_thousand_texts_are_read_or_refused() -> None:
    found, faults = fuzz_judge_texts.chunk("suite")
    assert faults == []
    assert 500 < found["score", True] < 4_300  # the slice has both
    assert found["score", True] + found["score", False] == 4_800
    assert 200 < found["verdict, both mirror images", True] < 1_000
    assert found["long", False] == 2


def test_a_guessed_score_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "parse_score", lambda *_: Score(3.0, None))
    _, faults = fuzz_judge_texts.chunk("suite")
    assert any("has no 3.0" in fault for fault in faults)
