from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest

from judgeloop.config import EftSection
from judgeloop.data.readers import supervised_row
from judgeloop.eft.from_ranks import balanced, eft_rows, score_of
from judgeloop.eft.justifications import justification_for
from judgeloop.errors import InputError
from judgeloop.judging.parse_score import parse_score
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import RankedSet, SupervisedRow

RUBRIC = load_rubric("additive-5-direct")


def ranked(*responses: dict[str, object]) -> RankedSet:
    return RankedSet("r-1", [{"role": "user", "content": "Ask?"}], list(responses), "file:1")


def rows_with(counts: dict[int, int]) -> list[tuple[int, SupervisedRow]]:
    messages = [{"role": "user", "content": "Ask?"}]
    return [
        (score, supervised_row("eft", messages, messages, f"{score} {number}", "x"))
        for score, count in counts.items()
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("levels", "scores"),
    [
        (1, [3]),
        (2, [4, 2]),
        (3, [5, 3, 1]),
        (4, [5, 3, 2, 0]),
        (5, [5, 4, 3, 1, 0]),
        (6, [5, 4, 3, 2, 1, 0]),
        (9, [5, 4, 4, 3, 3, 2, 1, 1, 0]),
    ],
)
def test_ranks_lie_centred_on_the_scale(levels: int, scores: list[int]) -> None:
    assert [score_of(rank, levels) for rank in range(levels)] == scores


def test_rows_hold_the_filled_rubric_and_the_score_line() -> None:
    (high, best), (low, worst) = eft_rows(
        [ranked({"text": "good", "rank": 0}, {"text": "bad", "rank": 1})], RUBRIC, False, 0, Counter()
    )
    assert (high, low) == (4, 2)
    assert best.completion == [{"role": "assistant", "content": "Score: 4"}]
    assert "<response>good</response>" in best.prompt[0]["content"]
    assert "<response>bad</response>" in worst.prompt[0]["content"]
    assert best.prompt_id == worst.prompt_id
    assert best.id != worst.id


def test_a_score_of_its_own_goes_before_the_rank() -> None:
    found = eft_rows(
        [ranked({"text": "a", "rank": 0, "score": 2.5}, {"text": "b", "rank": 1, "score": 1})],
        RUBRIC,
        False,
        0,
        Counter(),
    )
    assert [score for score, _ in found] == [3, 1]


def test_a_response_that_comes_twice_counts_once() -> None:
    dropped: Counter[str] = Counter()
    found = eft_rows([ranked({"text": "a", "rank": 0}, {"text": "a", "rank": 1})], RUBRIC, False, 0, dropped)
    assert len(found) == 1
    assert dropped == {"response that occurs twice in its set": 1}


def test_a_justification_stands_before_the_score_and_repeats_under_its_seed() -> None:
    sets = [ranked({"text": "good", "rank": 0}, {"text": "bad", "rank": 1})]
    first = eft_rows(sets, RUBRIC, True, 7, Counter())
    text = first[0][1].completion[0]["content"]
    assert text.endswith("\n\nScore: 4")
    assert parse_score(text).value == 4
    assert eft_rows(sets, RUBRIC, True, 7, Counter()) == first


@pytest.mark.parametrize("language", ["en", "zh"])
def test_justifications_vary_and_speak_the_rubrics_language(language: str) -> None:
    rubric = load_rubric("additive-5", language)
    for score in rubric.scores:
        found = {justification_for(score, rubric, random.Random(seed)) for seed in range(40)}
        assert len(found) >= 2
        assert all(parse_score(rubric.target(score, text)).value == score for text in found)
        assert all(("。" in text) == (language == "zh") for text in found)


def test_another_scale_is_filled_from_end_to_end() -> None:
    rubric = dataclasses.replace(RUBRIC, low=1, high=10)
    assert [score_of(rank, 2, 1, 10) for rank in range(2)] == [7, 4]
    assert [score_of(rank, 10, 1, 10) for rank in range(10)] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert justification_for(10, rubric, random.Random(0)) in {
        justification_for(5, RUBRIC, random.Random(n)) for n in range(20)
    }
    dropped: Counter[str] = Counter()
    found = eft_rows(
        [ranked({"text": "a", "rank": 0}, {"text": "b", "rank": 1, "score": 0.2})], rubric, True, 0, dropped
    )
    assert [score for score, _ in found] == [7]
    assert dropped == {"response with a score off the rubric's scale": 1}


def test_no_score_holds_more_than_its_share() -> None:
    dropped: Counter[str] = Counter()
    kept = balanced(rows_with({0: 4, 3: 50, 5: 10}), EftSection(max_share=0.5), 0, dropped)
    assert Counter(score for score, _ in kept) == {0: 4, 3: 14, 5: 10}
    assert dropped == {"EFT row above eft.max_share": 36}


def test_max_rows_keeps_the_share() -> None:
    dropped: Counter[str] = Counter()
    kept = balanced(rows_with({0: 40, 3: 50, 5: 45}), EftSection(max_share=0.4, max_rows=20), 0, dropped)
    counts = Counter(score for score, _ in kept)
    assert 15 <= len(kept) <= 20
    assert max(counts.values()) <= 0.4 * len(kept)
    assert len(kept) + dropped.total() == 135


def test_without_limits_every_row_stays_in_order() -> None:
    rows = rows_with({2: 3, 5: 1})
    assert balanced(rows, EftSection(), 0, Counter()) == rows
    assert balanced([], EftSection(max_share=0.1), 0, Counter()) == []


def test_an_impossible_share_is_an_input_error() -> None:
    with pytest.raises(InputError, match=r"max_share: 0\.3 cannot hold with 2 different scores.*at least 0\.50"):
        balanced(rows_with({1: 5, 2: 5}), EftSection(max_share=0.3), 0, Counter())
