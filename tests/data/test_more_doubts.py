"""Counts of faults, codes of a failed request, words in lists, letters for answers: asked, and answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.rated_rows import A, B, Rows, U, write
from judgeloop.data.readers import read_supervised
from judgeloop.errors import InputError

GOOD = {"prompt": U, "response": A}
ASKED: dict[str, tuple[Rows, str]] = {
    "words in a list": ([{**GOOD, "flags": ["long", "unsafe"]}], r"'flags' is .*may call the answer bad"),
    "a tier": ([{**GOOD, "tier": "low quality"}], "'tier' is 'low quality'"),
    "issues": ([{**GOOD, "issues": "hallucination"}], "'issues' is 'hallucination': the answer may have failed"),
    "a count of faults": ([{**GOOD, "num_errors": 3}], "'num_errors' is 3"),
    "a count in a table": ([{**GOOD, "error_count": "2"}, GOOD], "'error_count' is '2'"),
    "a code": ([{**GOOD, "status_code": 500}], "'status_code' is 500"),
    "a letter beside options": (
        [{"question": U, "options": ["x", "y"], "answer": "B"}], r"'answer' is 'B', which may only name .*'options'"
    ),
    "a second answer": ([{**GOOD, "response_2": "It is petrichor, an oil."}], r"'response_2' may be better .*rejected"),
    "the two that a judge compares": (
        [{"instruction": U, "response1": A, "response2": B, "output": "1, for it is better"}],
        "'response1' may be better than the answer in 'output'",
    ),
    "what was expected": (
        [{"input": U, "output": B, "expected_output": "It is an oil."}],
        "'expected_output' may be better than the answer in 'output'",
    ),
    "a person's correction": ([{**GOOD, "human_correction": "It is an oil."}], "'human_correction' may be better"),
    "the true answer": (
        [{"question": U, "reference_answer": "It is an oil.", "model_answer": B}],
        r"'reference_answer' may be better than the answer in 'model_answer'",
    ),
}  # fmt: skip
QUIET: dict[str, Rows] = {
    "no faults": [{**GOOD, "num_errors": 0, "issues": [], "status_code": 200, "flags": ["long"]}],
    "the answer in words": [{**GOOD, "options": ["x", "y"]}],
    "the true answer in a word": [{"question": U, "expected_answer": "7", "generated_solution": A}],
}


@pytest.mark.parametrize("name", ASKED)
def test_what_speaks_against_an_answer_is_asked(name: str, tmp_path: Path) -> None:
    rows, said = ASKED[name]
    with pytest.raises(InputError, match=said):
        read_supervised(write(tmp_path / "r.jsonl", rows))


@pytest.mark.parametrize("name", QUIET)
def test_what_does_not_is_left_unread(name: str, tmp_path: Path) -> None:
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", QUIET[name]))
    assert row.completion[0]["content"] == A


@pytest.mark.parametrize("name", ["a letter beside options", "a second answer", "the true answer"])
def test_the_user_may_say_which_is_the_answer(name: str, tmp_path: Path) -> None:
    rows, _ = ASKED[name]
    key = next(key for key in ("response", "answer", "model_answer") if key in rows[0])
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", rows), fields={"response": key})
    assert row.completion[0]["content"] == rows[0][key]


def test_a_merit_that_is_denied_is_a_fault(tmp_path: Path) -> None:
    rows = [{**GOOD, "not_helpful": False}, {"prompt": "x?", "response": B, "not_helpful": True}]
    found, account = read_supervised(write(tmp_path / "r.jsonl", rows))
    assert (len(found), account.dropped) == (1, {"answer that its label calls bad": 1})


def test_a_system_prompt_by_a_short_name(tmp_path: Path) -> None:
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", [{**GOOD, "sys_prompt": "Be kind."}]))
    assert row.prompt[0] == {"role": "system", "content": "Be kind."}
