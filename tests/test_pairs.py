from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgeloop.config import PairsSection
from judgeloop.pairs import (
    ANCHOR_AS_GOOD,
    BELOW_FLOOR,
    LOW_REJECTED,
    NO_ANCHOR,
    NONE_FINISHED,
    SAME_TEXT,
    SHORT_REJECTED,
    TIE,
    TOO_FEW_ANSWERS,
    TOO_FEW_FINISHED,
    TOO_FEW_SCORED,
    WIDE_GAP,
    WITHIN_MARGIN,
    BestWorst,
    Judged,
    Scored,
    Unfinished,
    best_chosen,
    best_worst,
    make_pairs,
    pairs_of,
    shuffle_labels,
)
from judgeloop.records import Candidate, Prompt


def candidate(name: str, prompt: str = "p", finish: str = "stop", text: str | None = None) -> Candidate:
    return Candidate(name, prompt, text if text is not None else f"answer {name}", [1, 2], finish)


def scored(*scores: float | None, finish: str = "") -> list[Scored]:
    """Candidates a, b, c, … with these scores; an `l` in `finish` means cut off."""
    finish = finish.ljust(len(scores), "s")
    return [
        Scored(candidate("abcdefgh"[k], finish="length" if finish[k] == "l" else "stop"), score)
        for k, score in enumerate(scores)
    ]


def only(found: list[tuple[tuple[Scored, float], tuple[Scored, float]]] | str) -> tuple[str, str] | str:
    """The ids of the one pair, or the reason."""
    if isinstance(found, str):
        return found
    (((chosen, _), (rejected, _)),) = found
    return chosen.candidate.id, rejected.candidate.id


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
    assert only(pairs_of(candidates, BestWorst(margin=margin))) == expected


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        (scored(5.0, 3.0, 1.0, finish="lsl"), ("b", "c")),  # the best was cut off: the best finished one is chosen
        (scored(5.0, 3.0, 1.0, finish="sll"), ("a", "c")),
        (scored(5.0, 3.0, 1.0, finish="lls"), NONE_FINISHED),  # the one finished answer is the worst
        (scored(5.0, 3.0, finish="ll"), NONE_FINISHED),
        (scored(3.0, 3.0, finish="ll"), NONE_FINISHED),
        (scored(3.0, 3.0, finish="sl"), TIE),
    ],
)
def test_cut_answers_may_be_rejected_but_never_chosen(
    candidates: list[Scored], expected: tuple[str, str] | str
) -> None:
    assert only(pairs_of(candidates, BestWorst(unfinished="as_judged"))) == expected


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        (scored(5.0, 3.0, 1.0, finish="lss"), ("b", "a")),  # the judge's best was cut off: worth nothing
        (scored(5.0, 0.0, finish="ls"), TIE),  # what finished is worth nothing either
        (scored(5.0, 3.0, finish="ll"), NONE_FINISHED),
        (scored(0.5, 3.0, None, finish="sls"), ("a", "b")),
    ],
)
def test_cut_answers_may_count_as_zero(candidates: list[Scored], expected: tuple[str, str] | str) -> None:
    assert only(pairs_of(candidates, BestWorst(unfinished="zero"))) == expected


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        (scored(-3.0, -1.0, -0.5, finish="lss"), ("c", "a")),
        (scored(-0.5, -1.0, 0.5, finish="lss"), ("c", "a")),  # 0 would be no reason to reject it
    ],
)
def test_cut_answers_get_the_least_that_a_contrast_can_be(
    candidates: list[Scored], expected: tuple[str, str] | str
) -> None:
    found = pairs_of(candidates, BestWorst(unfinished="zero", least=-3.75))
    assert only(found) == expected
    ((_, (_, rejected)),) = found
    assert rejected == -3.75


@pytest.mark.parametrize(
    ("eligible", "expected"),
    [("ybn", ("b", "a")), ("nbn", ("b", "a")), ("ynn", NONE_FINISHED), ("nnn", BELOW_FLOOR)],
)
def test_a_response_that_may_not_be_chosen_may_be_rejected(eligible: str, expected: tuple[str, str] | str) -> None:
    candidates = [replace(one, eligible=eligible[k] != "n") for k, one in enumerate(scored(1.0, 2.0, 3.0))]
    assert only(pairs_of(candidates, BestWorst())) == expected


def test_pairs_are_kept_by_what_their_chosen_answer_scores() -> None:
    asked = prompts(4)
    answers = [candidate(f"{p.id}.{k}", p.id) for p in asked for k in range(2)]
    scores: dict[str, float | None] = {row.id: 0.0 for row in answers}
    for p, score in zip(asked, [2.0, 5.0, 4.0, 4.0], strict=True):
        scores[f"{p.id}.0"] = score
    found, _ = make_pairs(asked, answers, scores)
    assert [pair.chosen_score for pair in best_chosen(found, 1.0)] == [2.0, 5.0, 4.0, 4.0]
    half = best_chosen(found, 0.5)
    assert [pair.chosen_score for pair in half] == [5.0, 4.0]
    assert half == best_chosen(found, 0.5)
    assert [pair.chosen_score for pair in best_chosen(found, 0.01)] == [5.0]
    assert {pair.id for pair in best_chosen(found[::-1], 0.5)} == {pair.id for pair in half}  # of equals the same one
    assert best_chosen([], 0.5) == []


def test_a_cut_answer_stays_rejected_in_the_random_control() -> None:
    asked = prompts(64)
    answers = [candidate(f"{p.id}.{k}", p.id, "length" if k else "stop") for p in asked for k in range(2)]
    scores: dict[str, float | None] = {row.id: 3.0 for row in answers}
    found, _ = make_pairs(asked, answers, scores, BestWorst(unfinished="zero"))
    cut = {row.id for row in answers if row.finish_reason == "length"}
    assert len(found) == 64
    assert shuffle_labels(found, 0, cut) == found
    assert shuffle_labels(found, 0) != found


def of_length(table: dict[str, tuple[float, int]]) -> list[Scored]:
    return [Scored(candidate(name, text="x" * size), score) for name, (score, size) in table.items()]


@pytest.mark.parametrize(
    ("rho", "expected"),
    [
        (0.0, ("a", "f")),
        # Scores 5 to 0. ρ = 0.1: chosen among scores of 4.5 and more, the shortest; rejected among those up to 0.5.
        (0.1, ("b", "e")),
        # ρ = 0.2: 4.0 and more, up to 1.0.
        (0.2, ("c", "d")),
    ],
)
def test_length_control_by_hand(rho: float, expected: tuple[str, str]) -> None:
    candidates = of_length(
        {"a": (5.0, 90), "b": (4.5, 50), "c": (4.0, 40), "d": (1.0, 99), "e": (0.5, 70), "f": (0.0, 60)}
    )
    assert only(pairs_of(candidates, BestWorst(length_rho=rho))) == expected


def test_several_pairs_use_each_response_once() -> None:
    candidates = scored(1.0, 5.0, 4.0, 2.0, 3.0)
    found = pairs_of(candidates, BestWorst(max_pairs=5))
    assert not isinstance(found, str)
    assert [(c.candidate.id, r.candidate.id) for (c, _), (r, _) in found] == [("b", "a"), ("c", "d")]
    within = pairs_of(candidates, BestWorst(max_pairs=5, margin=3.0))
    assert [(c[0].candidate.id, r[0].candidate.id) for c, r in within] == [("b", "a")]


def test_an_earlier_models_answer_is_rejected_where_it_scores_lower() -> None:
    old = [Scored(candidate("old", text="An older answer."), 0.5), Scored(candidate("older", text="Older still."), 4.5)]
    assert only(pairs_of(scored(4.0, 1.0), BestWorst(), old)) == ("a", "old")
    assert only(pairs_of(scored(4.0, 0.25), BestWorst(), old)) == ("a", "b")
    assert only(pairs_of(scored(2.0, 2.0), BestWorst(), old)) == ("a", "old")  # a tie of its own, but not with the past
    assert only(pairs_of(scored(0.5, 0.5), BestWorst(), old)) == TIE
    cut = [Scored(candidate("old", text="An older answer", finish="length"), 0.5)]
    assert only(pairs_of(scored(4.0, 1.0), BestWorst(), cut)) == ("a", "b")
    assert only(pairs_of(scored(4.0, 1.0), BestWorst(unfinished="as_judged"), cut)) == ("a", "old")


def test_equals_are_told_apart_by_id_not_by_who_finished_first() -> None:
    asked = prompts(1)
    answers = [candidate(f"p-0.{k}", "p-0") for k in range(4)]
    scores = {"p-0.0": 3.0, "p-0.1": 5.0, "p-0.2": 5.0, "p-0.3": 3.0}
    for order in (answers, answers[::-1]):
        (pair,), _ = make_pairs(asked, order, scores)
        assert (pair.chosen_id, pair.rejected_id) == ("p-0.1", "p-0.0")


def test_sums_in_another_order_are_still_a_tie() -> None:
    assert only(pairs_of(scored((0.1 + 0.2 + 4.0) / 3, (4.0 + 0.2 + 0.1) / 3), BestWorst())) == TIE


def test_equal_words_make_no_pair() -> None:
    same = [Scored(candidate("a", text="Yes."), 4.0), Scored(candidate("b", text=" Yes.\n"), 1.0)]
    assert pairs_of(same, BestWorst()) == SAME_TEXT


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, ("a", "c")),
        ({"max_gap": 3.0}, ("a", "c")),  # at most, not less than
        ({"max_gap": 2.99}, WIDE_GAP),
        ({"min_rejected": 1.0}, ("a", "c")),
        ({"min_rejected": 1.01}, LOW_REJECTED),
        ({"min_rejected_characters": len("answer c")}, ("a", "c")),
        ({"min_rejected_characters": len("answer c") + 1}, SHORT_REJECTED),
        ({"margin": 3.0, "max_gap": 1.0}, WITHIN_MARGIN),
    ],
)
def test_a_prompt_with_a_poor_rejected_answer_or_a_wide_gap_gives_no_pair(
    bounds: dict[str, Any], expected: tuple[str, str] | str
) -> None:
    assert only(pairs_of(scored(4.0, 2.0, 1.0), BestWorst(**bounds))) == expected
    section = PairsSection(**bounds)
    asked = prompts(1)
    answers = [candidate(name, "p-0") for name in "abc"]
    made = best_worst(Judged(asked, answers, [], {"a": 4.0, "b": 2.0, "c": 1.0}), section, 1, 0)
    assert made.account == {"pair" if isinstance(expected, tuple) else expected: 1}


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


RULES = st.builds(
    BestWorst,
    margin=st.sampled_from([0.0, 0.5, 2.0]),
    unfinished=st.sampled_from(get_args(Unfinished)),
    length_rho=st.sampled_from([0.0, 0.2, 0.4]),
    max_pairs=st.integers(1, 3),
)


@given(st.lists(ANSWERS, max_size=6), RULES)
def test_every_prompt_ends_in_exactly_one_account(
    table: list[list[tuple[float | None, str, str]]], rule: BestWorst
) -> None:
    asked = prompts(len(table))
    answers, scores = [], {}
    for prompt, rows in zip(asked, table, strict=True):
        for k, (score, finish, text) in enumerate(rows):
            answers.append(candidate(f"{prompt.id}.{k}", prompt.id, finish, text))
            scores[f"{prompt.id}.{k}"] = score
    found, account = make_pairs(asked, answers, scores, rule)
    known = {"pair", TIE, WITHIN_MARGIN, TOO_FEW_FINISHED, TOO_FEW_SCORED, SAME_TEXT, NONE_FINISHED}
    assert set(account) <= known
    assert account.total() == len(asked)
    assert account["pair"] == len({pair.prompt_id for pair in found}) >= len(found) / rule.max_pairs
    used = [name for pair in found for name in (pair.chosen_id, pair.rejected_id)]
    assert len(used) == len(set(used))
    by_id = {row.id: row for row in answers}
    for pair in found:
        chosen, rejected = by_id[pair.chosen_id], by_id[pair.rejected_id]
        assert chosen.prompt_id == rejected.prompt_id == pair.prompt_id
        assert pair.chosen_score - pair.rejected_score > rule.margin
        assert chosen.text != rejected.text
        assert chosen.finish_reason == "stop"
        assert rule.unfinished != "left_out" or rejected.finish_reason == "stop"


def test_an_empty_answer_is_never_in_a_pair() -> None:
    empty = Scored(Candidate("a", "p", " ", [2], "stop"), 0.0)
    good = Scored(Candidate("b", "p", "Yes.", [5, 2], "stop"), 3.0)
    better = Scored(Candidate("c", "p", "Yes, twice.", [5, 6, 2], "stop"), 4.0)
    assert pairs_of([empty, good], BestWorst()) == TOO_FEW_ANSWERS
    assert only(pairs_of([empty, good, better], BestWorst())) == ("c", "b")


def rows_of(name: str, *scores: float | None, finish: str = "stop") -> list[Scored]:
    return [Scored(candidate(f"{name}{k}", finish=finish), score) for k, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("anchors", "expected"),
    [
        (rows_of("m", 3.0, 2.0), ("b", "m1")),  # though the worst candidate scores lower
        (rows_of("m", 0.5), ("b", "m0")),
        ([], NO_ANCHOR),
        (rows_of("m", None), NO_ANCHOR),
        (rows_of("m", 1.0, finish="length"), NO_ANCHOR),
        (rows_of("m", 4.5, 4.0), ANCHOR_AS_GOOD),
        (rows_of("m", 3.9), WITHIN_MARGIN),
    ],
)
def test_an_earlier_models_answer_is_rejected_always(anchors: list[Scored], expected: tuple[str, str] | str) -> None:
    rule = BestWorst(margin=0.2, anchored=True)
    assert only(pairs_of(scored(1.0, 4.0), rule, anchors)) == expected


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (rows_of("n", 4.5, 5.0), ("n1", "a")),
        (rows_of("n", 4.0), ("b", "a")),  # no better than the model's own
        (rows_of("n", 0.0), ("b", "a")),  # and never rejected
        (rows_of("n", 5.0, finish="length"), ("b", "a")),
        (rows_of("n", None), ("b", "a")),
        ([Scored(candidate("n0"), 5.0, eligible=False)], ("b", "a")),
    ],
)
def test_a_provisional_models_answer_is_chosen_if_it_scores_higher(
    ahead: list[Scored], expected: tuple[str, str]
) -> None:
    assert only(pairs_of(scored(1.0, 4.0), BestWorst(), (), ahead)) == expected


def test_each_response_of_either_model_serves_once() -> None:
    rule = BestWorst(anchored=True, max_pairs=3)
    found = pairs_of(scored(3.0, 4.0, 2.5), rule, rows_of("m", 1.0, 2.0), rows_of("n", 5.0))
    assert not isinstance(found, str)
    assert [(c[0].candidate.id, r[0].candidate.id) for c, r in found] == [("n0", "m0"), ("b", "m1")]


def test_where_no_candidate_may_be_chosen_the_provisional_models_answer_is() -> None:
    rule = BestWorst(unfinished="as_judged")
    assert only(pairs_of(scored(1.0, 4.0, finish="ll"), rule, (), rows_of("n", 3.0))) == ("n0", "a")
