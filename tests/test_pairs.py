from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgeloop.pairs import (
    SAME_TEXT,
    TIE,
    TOO_FEW_ANSWERS,
    TOO_FEW_FINISHED,
    TOO_FEW_SCORED,
    WITHIN_MARGIN,
    Scored,
    best_and_worst,
    make_pairs,
    mean_scores,
)
from judgeloop.records import Candidate, Judgement, Prompt


def candidate(name: str, prompt: str = "p", finish: str = "stop", text: str | None = None) -> Candidate:
    return Candidate(name, prompt, text if text is not None else f"answer {name}", [1, 2], finish)


def scored(*scores: float | None, finish: str = "") -> list[Scored]:
    """Candidates a, b, c, … with these scores; an `l` in `finish` means cut off."""
    finish = finish.ljust(len(scores), "s")
    return [
        Scored(candidate("abcdefgh"[k], finish="length" if finish[k] == "l" else "stop"), score)
        for k, score in enumerate(scores)
    ]


def names(found: tuple[Scored, Scored] | str) -> tuple[str, str] | str:
    return found if isinstance(found, str) else (found[0].candidate.id, found[1].candidate.id)


@pytest.mark.parametrize(
    ("candidates", "margin", "expected"),
    [
        (scored(3.0, 5.0, 1.0, 4.0), 0.0, ("b", "c")),
        (scored(3.0, 3.0, 3.0), 0.0, TIE),
        (scored(0.0, 0.0), 1.0, TIE),
        (scored(2.0, 5.0, 5.0, 2.0), 0.0, ("b", "a")),  # among equals the first
        (scored(3.0, 2.5), 0.5, WITHIN_MARGIN),  # more than the margin, not just the margin
        (scored(3.0, 2.5), 0.4999, ("a", "b")),
        (scored(0.0, 5.0), 0.0, ("b", "a")),
        (scored(5.0, 3.0, 1.0, finish="l"), 0.0, ("b", "c")),  # the best was cut off
        (scored(5.0, 3.0, 1.0, finish="ssl"), 0.0, ("a", "b")),  # the worst was
        (scored(5.0, 3.0, 1.0, finish="lls"), 0.0, TOO_FEW_FINISHED),
        (scored(5.0), 0.0, TOO_FEW_FINISHED),
        ([], 0.0, TOO_FEW_FINISHED),
        (scored(None, 4.0, None), 0.0, TOO_FEW_SCORED),
        (scored(None, None), 0.0, TOO_FEW_SCORED),
        (scored(None, 4.0, 0.0, None), 0.0, ("b", "c")),  # no score is not the worst score
    ],
)
def test_best_and_worst_by_hand(candidates: list[Scored], margin: float, expected: tuple[str, str] | str) -> None:
    assert names(best_and_worst(candidates, margin=margin)) == expected


def test_cut_answers_take_part_only_when_asked_for() -> None:
    candidates = scored(5.0, 3.0, 1.0, finish="lsl")
    assert best_and_worst(candidates) == TOO_FEW_FINISHED
    assert names(best_and_worst(candidates, finished_only=False)) == ("a", "c")


def test_equal_words_make_no_pair() -> None:
    same = [Scored(candidate("a", text="Yes."), 4.0), Scored(candidate("b", text=" Yes.\n"), 1.0)]
    assert best_and_worst(same) == SAME_TEXT


def judgement(name: str, k: int, score: float | None) -> Judgement:
    return Judgement(f"{name}.j{k}", name, k, "", score, None if score is not None else "no score line")


def test_means_leave_missing_scores_out() -> None:
    rows = [judgement("a", 0, 4.0), judgement("a", 1, None), judgement("a", 2, 1.0), judgement("b", 0, None)]
    assert mean_scores(rows) == {"a": 2.5, "b": None}
    assert mean_scores(rows, min_valid=2) == {"a": 2.5, "b": None}
    assert mean_scores(rows, min_valid=3) == {"a": None, "b": None}
    assert mean_scores([judgement("a", 0, 0.0)]) == {"a": 0.0}
    assert mean_scores(reversed(rows)) == {"a": 2.5, "b": None}


def prompts(count: int) -> list[Prompt]:
    return [Prompt(f"p-{k}", [{"role": "user", "content": f"question {k}"}], "test") for k in range(count)]


def test_pairs_are_joined_by_id_and_never_by_position() -> None:
    asked = prompts(12)  # p-10 sorts between p-1 and p-2
    answers = [candidate(f"{p.id}.{k}", p.id) for p in asked for k in range(4)]
    scores: dict[str, float | None] = {row.id: float((7 * number) % 11) for number, row in enumerate(answers)}
    expected, account = make_pairs(asked, answers, scores)
    assert account == {"pair": 12}
    order = random.Random(0)
    for _ in range(5):
        shuffled = dict(order.sample(list(scores.items()), len(scores)))
        found, _ = make_pairs(asked, order.sample(answers, len(answers)), shuffled)
        assert found == expected
    for pair in expected:
        content = {p.id: p.messages for p in asked}[pair.prompt_id]
        assert pair.prompt == content
        mine = {row.id: row for row in answers if row.prompt_id == pair.prompt_id}
        assert pair.chosen == [{"role": "assistant", "content": mine[pair.chosen_id].text}]
        assert pair.rejected == [{"role": "assistant", "content": mine[pair.rejected_id].text}]
        assert pair.chosen_score == max(scores[name] or 0.0 for name in mine)
        assert pair.rejected_score == min(scores[name] or 0.0 for name in mine)


SCORES = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 1.5, 2.0, 5.0]))
ANSWERS = st.lists(st.tuples(SCORES, st.sampled_from(["stop", "length"]), st.sampled_from(["x", "y", "z"])), max_size=5)


@given(st.lists(ANSWERS, max_size=6), st.sampled_from([0.0, 0.5, 2.0]), st.booleans())
def test_every_prompt_ends_in_exactly_one_account(
    table: list[list[tuple[float | None, str, str]]], margin: float, finished_only: bool
) -> None:
    asked = prompts(len(table))
    answers, scores = [], {}
    for prompt, rows in zip(asked, table, strict=True):
        for k, (score, finish, text) in enumerate(rows):
            answers.append(candidate(f"{prompt.id}.{k}", prompt.id, finish, text))
            scores[f"{prompt.id}.{k}"] = score
    found, account = make_pairs(asked, answers, scores, margin=margin, finished_only=finished_only)
    known = {"pair", TIE, WITHIN_MARGIN, TOO_FEW_FINISHED, TOO_FEW_SCORED, SAME_TEXT}
    assert set(account) <= known
    assert account.total() == len(asked)
    assert account["pair"] == len(found) == len({pair.prompt_id for pair in found})
    by_id = {row.id: row for row in answers}
    for pair in found:
        chosen, rejected = by_id[pair.chosen_id], by_id[pair.rejected_id]
        assert chosen.prompt_id == rejected.prompt_id == pair.prompt_id
        assert pair.chosen_score - pair.rejected_score > margin
        assert chosen.text != rejected.text
        assert not finished_only or chosen.finish_reason == rejected.finish_reason == "stop"


def test_an_empty_answer_is_never_in_a_pair() -> None:
    empty = Scored(Candidate("a", "p", " ", [2], "stop"), 0.0)
    good = Scored(Candidate("b", "p", "Yes.", [5, 2], "stop"), 3.0)
    better = Scored(Candidate("c", "p", "Yes, twice.", [5, 6, 2], "stop"), 4.0)
    assert best_and_worst([empty, good]) == TOO_FEW_ANSWERS
    assert best_and_worst([empty, good, better]) == (better, good)
