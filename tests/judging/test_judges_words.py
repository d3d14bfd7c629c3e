"""What judges write is read as a reader would: the shared cases, and variations of each kind."""

from __future__ import annotations

from typing import Any

import pytest

from judgeloop.judging.parse_score import parse_score, score_place
from judgeloop.judging.parse_verdict import parse_verdict
from judging.cases import rows, score_variations, shared_cases, verdict_variations

SCORES, VERDICTS = shared_cases("judge_outputs.jsonl"), shared_cases("verdicts.jsonl")
needs_scores = pytest.mark.skipif(not SCORES, reason="shared/cases/judge_outputs.jsonl is not beside this checkout")
needs_verdicts = pytest.mark.skipif(not VERDICTS, reason="shared/cases/verdicts.jsonl is not beside this checkout")


@needs_scores
@pytest.mark.parametrize("case", SCORES, ids=lambda case: str(case["id"]))
def test_a_shared_judgement_has_the_score_that_a_reader_sees(case: dict[str, Any]) -> None:
    assert parse_score(case["output"]).value == case["score"]


@needs_verdicts
@pytest.mark.parametrize("case", VERDICTS, ids=lambda case: str(case["id"]))
def test_a_shared_verdict_is_the_one_that_a_reader_sees(case: dict[str, Any]) -> None:
    assert parse_verdict(case["output"]).value == case["better"]


@pytest.mark.parametrize("case", rows("score_outputs.jsonl"), ids=lambda case: repr(case["output"]))
def test_a_score_in_a_judges_own_form_is_the_one_that_a_reader_sees(case: dict[str, Any]) -> None:
    assert parse_score(case["output"], label=case["label"]).value == case["score"]


@pytest.mark.parametrize("case", rows("verdict_outputs.jsonl"), ids=lambda case: repr(case["output"]))
def test_a_verdict_in_a_judges_own_form_is_the_one_that_a_reader_sees(case: dict[str, Any]) -> None:
    assert parse_verdict(case["output"]).value == case["better"]


def test_each_kind_of_score_is_read_or_refused() -> None:
    found = list(score_variations())
    wrong = [said for said in found if parse_score(said.text, 0, said.high).value != said.score]
    assert wrong == []
    assert len(found) > 4_000
    assert {said.kind for said in found if said.score is None} == {"refused", "thought alone"}


def test_where_the_score_that_counts_is() -> None:
    for said in score_variations():
        place = score_place(said.text, 0, said.high)
        assert (place is None) == (said.score is None), said
        if place is not None:
            assert f"{said.score:g}" in said.text[slice(*place)], said


def test_each_kind_of_verdict_is_read_or_refused() -> None:
    found = list(verdict_variations())
    wrong = [(text, better, parse_verdict(text)) for text, better in found if parse_verdict(text).value != better]
    assert wrong == []
    assert len(found) > 90
