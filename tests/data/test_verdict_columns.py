"""Votes and ratings of several answers: what is unclear is refused in one line, what is missing is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.rated_rows import A, B, Rows, U, write
from judgeloop.data.answered import read_answered
from judgeloop.data.readers import read_both, read_prompts, read_ranked, read_supervised
from judgeloop.errors import InputError

UNCLEAR: dict[str, tuple[Rows, str]] = {
    "two that may rate": (
        [{"prompt": U, "response": A, "style_score": 3, "fact_score": 1}],
        r"may rate the answers \(style_score, fact_score\).*fields: \{score: style_score\}, or \{score: null\}",
    ),
    "a lone score of who knows what": (
        [{"prompt": U, "response": A, "style_score": 3}], r"may rate the answers \(style_score\)"
    ),
    "a list of ratings": (
        [{"prompt": U, "response": A, "ratings": [1, 1, 2]}], r"'ratings' may rate the answer, but is \[1, 1, 2\]"
    ),
    "scores by aspect": (
        [{"prompt": U, "response": A, "scores": {"overall": 1}}], r"'scores' may rate .*fields: \{score: null\}"
    ),
    "a flag of another word": (
        [{"prompt": U, "response": A, "is_correct": "partly"}], r"'is_correct' may rate .*\{label: null\}"
    ),
    "a label after a topic": (
        [{"prompt": U, "response": A, "label": "weather"}, {"prompt": U, "response": B, "label": "bad"}],
        ":2: 'label' is 'bad', which may rate the answer, and not so on line 1",
    ),
    "ratings out of something and not": (
        [{"prompt": U, "response": A, "rating": 4}, {"prompt": U, "response": B, "rating": "4/5"}],
        ":2: 'rating' is '4/5', a number out of 5, and a number in the rows before",
    ),
    "a preference that may be signed": (
        [{"prompt": U, "response_1": A, "response_2": B, "overall_preference": 1}],
        r"'overall_preference' is never below 0.*say that the number is its name: .*\{winner: overall_preference\}",
    ),
    "a label that may count from 0": (
        [{"prompt": U, "response 1": B, "response 2": A, "label": n} for n in (1, 0, 2)],
        "'label' holds 0, 1, 2 in this file: it may count the answers from 0 or from 1",
    ),
    "a winner that may be signed": (
        [{"prompt": U, "response_1": A, "response_2": B, "winner": n} for n in (-1, 1)], "'winner' is below 0 in some"
    ),
    "a preference below 0": (
        [{"prompt": U, "response_1": A, "response_2": B, "preference": n} for n in (1, -1)],
        "'preference' is below 0 in some rows",
    ),
    "a preference below 0 of letters": (
        [{"prompt": U, "response_a": A, "response_b": B, "preference": n} for n in (1, -1)],
        "'preference' is below 0 in some rows",
    ),
    "scores out of different totals": (
        [{"prompt": U, "response_a": A, "response_b": B, "score_a": "2/5", "score_b": "3/10"}], "not out of the same"
    ),
    "a chosen answer alone": (
        [{"prompt": U, "chosen": A}], r"'chosen' stands beside the prompt without.*\{response: chosen\}"
    ),
    "TruthfulQA": (
        [{"question": U, "best_answer": A, "correct_answers": [A], "incorrect_answers": [B]}], "'best_answer' stands"
    ),
    "a label of many": ([{"prompt": U, "response": A, "label": 3}], r"may rate the answers \(label\)"),
    "answers that nothing ranks": ([{"prompt": U, "generations": [A, B]}], "nothing ranks the generations"),
    "sides that nothing ranks": ([{"prompt": U, "response_a": A, "response_b": B}], "nothing ranks the answers resp"),
    "a vote of nobody": (
        [{"prompt": U, "response_a": A, "response_b": B, "winner": "gpt-4"}], "'winner' is 'gpt-4', which is none of"
    ),
    "numbers for letters": (
        [{"prompt": U, "response_a": A, "response_b": B, "label": 1}], "'label' is 1, which is none of the answers a, b"
    ),
    "a rating that is none": (
        [{"prompt": U, "response": A, "rating": 4}, {"prompt": U, "response": B, "rating": "poor"}],
        r":2: 'rating' is 'poor'",
    ),
    "unknown names": (
        [{"user_question": U, "gut": A}],
        r"its keys: user_question, gut\).*seed_data\.fields: \{prompt: user_question, response: gut\}",
    ),
    "unknown sides": (
        [{"spørsmål": U, "best_one": A, "worst_one": B}],
        r"seed_data\.fields: \{prompt: \?\?\?, chosen: best_one, rejected: worst_one\}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_is_unclear_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    rows, message = UNCLEAR[name]
    with pytest.raises(InputError, match=message) as caught:
        read_supervised(write(tmp_path / "rows.jsonl", rows))
    assert "\n" not in str(caught.value)


def test_a_number_that_is_said_to_name_the_answer(tmp_path: Path) -> None:
    rows = [{"prompt": U, "response_1": B, "response_2": A, "overall_preference": 2}]
    (found,), _, _ = read_both(write(tmp_path / "rows.jsonl", rows), fields={"winner": "overall_preference"})
    assert [r["text"] for r in found.responses] == [A, B]


@pytest.mark.parametrize(("votes", "better"), [((3, 1), [A, A]), ((0, 2), [A])])
def test_a_strength_that_is_no_name_is_signed(votes: tuple[int, int], better: list[str], tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{U} {n}", "response_1": B, "response_2": A, "preference_strength": v} for n, v in enumerate(votes)
    ]
    found, _, _ = read_both(write(tmp_path / "rows.jsonl", rows))
    assert [ranked.responses[0]["text"] for ranked in found] == better


def test_a_reward_is_higher_for_a_better_answer(tmp_path: Path) -> None:
    rows = [{"prompt": f"{U} {n}", "response": f"{A} {n}", "instruct_reward": n - 2.5} for n in range(6)]
    found, account = read_supervised(write(tmp_path / "rows.jsonl", rows))
    assert {row.completion[0]["content"] for row in found} == {f"{A} {n}" for n in (3, 4, 5)}
    assert account.dropped == {"answer rated low": 3}


@pytest.mark.parametrize("form", ["response_{}", "{}", "Response {}"])
def test_chosen_and_rejected_that_are_but_names(form: str, tmp_path: Path) -> None:
    named = {"chosen": form.format("b"), "rejected": form.format("a")}
    (found,), _, _ = read_both(
        write(tmp_path / "rows.jsonl", [{"prompt": U, "response_a": B, "response_b": A, **named}])
    )
    assert [r["text"] for r in found.responses] == [A, B]


@pytest.mark.parametrize("votes", [("-1", "a"), ("C", "A"), ("A=B", "A>B"), ("", "A"), ("N/A", "a")])
def test_ties_and_missing_verdicts_are_counted(votes: tuple[str, str], tmp_path: Path) -> None:
    rows = [{"prompt": f"{n} {U}", "response_a": A, "response_b": B, "winner": vote} for n, vote in enumerate(votes)]
    (found,), _, account = read_both(write(tmp_path / "rows.jsonl", rows))
    assert [r["text"] for r in found.responses] == [A, B]
    assert account.dropped in ({"all responses tie": 1}, {"comparison without a verdict": 1})


@pytest.mark.parametrize("ratings", [None, ["N/A", "N/A"], "", [None, 5]])
def test_ratings_that_are_missing_are_counted(ratings: object, tmp_path: Path) -> None:
    rows: Rows = [
        {"instruction": "x", "generations": ["y", "z"], "ratings": ratings},
        {"instruction": U, "generations": [B, A], "ratings": [1, 5]},
    ]
    (found,), _ = read_ranked(write(tmp_path / "rows.jsonl", rows))
    assert [r["text"] for r in found.responses] == [A, B]


def test_scores_of_another_scale_give_the_order_alone(tmp_path: Path) -> None:
    sets, _ = read_ranked(write(tmp_path / "rows.jsonl", [
        {"prompt": U, "responses": [{"text": B, "score": 2}, {"text": A, "score": 4}]},
        {"prompt": "x", "responses": [{"text": "y", "score": 2}, {"text": "z", "score": 9}]},
    ]))  # fmt: skip
    assert [response for found in sets for response in found.responses if "score" in response] == []


def test_what_rates_an_answer_that_is_not_learnt_need_not_be_clear(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"prompt": U, "response": A, "style_score": 3}])
    assert [row.text for row in read_answered(path)] == [A]
    assert len(read_prompts(path)[0]) == 1


def test_a_later_row_with_a_column_that_may_rate_is_refused(tmp_path: Path) -> None:
    rows: Rows = [{"prompt": U, "response": A}, {"prompt": U, "response": B, "style_score": 1}]
    with pytest.raises(InputError, match=r":2: a column may rate the answers \(style_score\)"):
        read_supervised(write(tmp_path / "rows.jsonl", rows))
