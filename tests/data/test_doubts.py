"""What an unread column says against its row: refused with a question, and each answer to it is understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.rated_rows import A, B, Rows, U, bot, user, write
from judgeloop.data.answered import read_answered
from judgeloop.data.readers import read_prompts, read_ranked, read_supervised
from judgeloop.errors import InputError

GOOD = {"prompt": U, "response": A}
ASKED: dict[str, tuple[Rows, str]] = {
    "a word in a column of an unknown name": (
        [{**GOOD, "review": "kept"}, {"prompt": U, "response": B, "review": "Rejected."}],
        r":2: 'review' is 'Rejected.', which may call .*fields: \{label: review\}, or .*\{label: null\}",
    ),
    "what an annotator decided (Prodigy)": ([{**GOOD, "answer": "reject"}], r"'answer' is 'reject'.*\{label: answer\}"),
    "an annotator's decision beside a label": (
        [{"text": f"### Human: {U}### Assistant: {B}", "label": "GOOD", "answer": "reject"}], "'answer' is 'reject'"
    ),
    "a word beside a rating": ([{**GOOD, "helpfulness": 4, "safety": "unsafe"}], "'safety' is 'unsafe'"),
    "options with a column each": (
        [{"question": U, "option_a": A, "option_b": B, "answer": "A"}], r"'answer' is 'A', which may only name one"
    ),
    "two answers": (
        [{"question": U, "answer": A, "response": "I do not know that."}], r"'answer' may be better than .*'response'"
    ),
    "a refusal, which may be right": (
        [{**GOOD, "is_refusal": False}, {"prompt": "x?", "response": B, "is_refusal": True}],
        r":2: 'is_refusal' is True, .*\{bad_label: is_refusal\}",
    ),
    "a reviewer's words": ([{**GOOD, "review_status": "needs_fix"}], r"'review_status' is 'needs_fix'"),
    "a note": ([{**GOOD, "notes": "Do not use!"}], r"'notes' is 'Do not use!'"),
    "a status (Argilla)": ([{**GOOD, "status": "discarded"}], "'status' is 'discarded'"),
    "a critique in prose": (
        [{**GOOD, "feedback": "It does not help at all."}], r"'feedback' is 'It does .*\{label: null\}"
    ),
    "critiques in a list": (
        [{"context": [user()], "response": A, "feedback": ["Not helpful at all."]}], "'feedback' is .*may call"
    ),
    "a critique in a later row": (
        [{**GOOD, "critique": None}, {"prompt": "x?", "response": B, "critique": "This is quite wrong."}],
        ":2: 'critique'",
    ),
    "an error": ([{**GOOD, "error": "429 Too many requests"}], r"'error' is '429 .*may have failed; .*bad_label: null"),
    "a better answer": (
        [{"instruction": U, "output": B, "reflection": "…", "corrected": A}],
        r"'corrected' may be better than the answer in 'output'; .*\{response: corrected\}, or .*chosen: corrected, ",
    ),
    "an evolved instruction": (
        [{"instruction": "x?", "evolved_instruction": U, "answer": A}],
        r"'evolved_instruction' may be what was answered, and not 'instruction'; .*\{prompt: evolved_instruction\}",
    ),
    "an evolved instruction of a pair": (
        [{"instruction": "x?", "evolved_instruction": U, "chosen": A, "rejected": B}], "may be what was answered"
    ),
    "votes against": (
        [{"question": U, "answer": A, "upvotes": 5, "downvotes": 9}], r"'downvotes' counts against .*score: upvotes"
    ),
    "a grade in letters": ([{**GOOD, "grade": "F"}], "'grade' may rate the answer, but is 'F'"),
    "a grade in numbers": ([{**GOOD, "grade": 2}], r"may rate the answers \(grade\)"),
    "an answer of an unknown name": (
        [{"question": U, "human_answers": [A], "chatgpt_answers": [B]}], r"'human_answers' stands .*\{response: null\}"
    ),
    "what a judge was asked": (
        [{"user_prompt": "Please act as a judge.", "judgment": "Rating: [[9]]", "score": 9}], "'judgment' stands"
    ),
    "a summary called a label": ([{"prompt": U, "label": "It is petrichor."}], "'label' stands beside the prompt"),
    "a pair turned round": (
        [{"prompt": U, "chosen": B, "rejected": A, "swapped": True}],
        r"'swapped' is True: 'chosen' may not be .*\{chosen: chosen, rejected: rejected\}",
    ),
    "a margin below 0": ([{"prompt": U, "chosen": B, "rejected": A, "margin": -1.5}], "'margin' is -1.5: 'chosen' may"),
    "a pair that was discarded": (
        [{"prompt": U, "chosen": A, "rejected": B, "status": "submitted"},
         {"prompt": "x?", "chosen": B, "rejected": A, "status": "discarded"}], ":2: 'status' is 'discarded'"
    ),
    "a turn rated by aspect (SteerLM)": (
        [{"conversations": [{"from": "User", "value": U},
                            {"from": "Assistant", "value": A, "label": "quality:0,toxicity:4"}]}],
        "a turn's 'label' is 'quality:0,toxicity:4', which may rate the turn",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_speaks_against_an_answer_is_asked_for(name: str, tmp_path: Path) -> None:
    rows, message = ASKED[name]
    with pytest.raises(InputError, match=message) as caught:
        read_supervised(write(tmp_path / "rows.jsonl", rows))
    assert "\n" not in str(caught.value)


ANSWERED: dict[str, dict[str, str | None]] = {
    "a word in a column of an unknown name": {"label": None},
    "a critique in prose": {"label": None},
    "an error": {"bad_label": None},
    "a better answer": {"response": "corrected"},
    "an evolved instruction": {"prompt": "evolved_instruction"},
    "votes against": {"score": "upvotes"},
}


@pytest.mark.parametrize("name", ANSWERED)
def test_the_answer_to_the_question_is_understood(name: str, tmp_path: Path) -> None:
    rows, account = read_supervised(write(tmp_path / "rows.jsonl", ASKED[name][0]), fields=ANSWERED[name])
    assert (rows[0].prompt, rows[0].completion) == ([user()], [bot()])
    assert len(rows) == account.rows


def test_a_column_said_to_be_a_label_leaves_out_what_it_calls_bad(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "response": A, "answer": said} for n, said in enumerate(("accept", "reject", "ignore"))]
    (row,), account = read_supervised(write(tmp_path / "rows.jsonl", rows), fields={"label": "answer"})
    assert row.prompt[0]["content"] == "0?"
    assert account.dropped == {"answer that its label calls bad": 1, "answer without a rating": 1}


def test_a_corrected_answer_said_to_be_chosen_makes_a_pair(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", ASKED["a better answer"][0])
    (ranked,), _ = read_ranked(path, fields={"chosen": "corrected", "rejected": "output"})
    assert [response["text"] for response in ranked.responses] == [A, B]


def test_a_pair_said_to_be_in_order_is_taken(tmp_path: Path) -> None:
    rows: Rows = [{"prompt": U, "chosen": A, "rejected": B, "swapped": True, "margin": -1, "status": "rejected"}]
    (ranked,), _ = read_ranked(write(tmp_path / "r.jsonl", rows), fields={"chosen": "chosen", "rejected": "rejected"})
    assert [response["text"] for response in ranked.responses] == [A, B]


NOTHING: dict[str, Rows] = {
    "words about the prompt": [{**GOOD, "prompt_safety": "unsafe", "category": "toxic", "type": "harmful"}],
    "flags and numbers": [{**GOOD, "edited": True, "revision": 3, "error": "", "errors": 0}],
    "an older prompt": [{"original_question": "x?", "query": U, "response": A}],
    "the same prompt again": [{"prompt": U, "rewritten_prompt": U, "response": A}],
    "notes": [{**GOOD, "notes": "A long remark of someone.", "explanation": "It is so because it is."}],
    "a result in other words": [{"problem": U, "solution": A, "answer": "oil"}],
    "the end of the answer": [{**GOOD, "answer": "is petrichor."}],
    "a lone word of a critic": [{**GOOD, "evaluation": "human"}],
    "a reference beside a prompt": [{**GOOD, "reference_answer": "42"}],
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_speaks_of_something_else_is_left_aside(name: str, tmp_path: Path) -> None:
    (row,), _ = read_supervised(write(tmp_path / "rows.jsonl", NOTHING[name]))
    assert (row.prompt, row.completion) == ([user()], [bot()])


@pytest.mark.parametrize("beside", [{"reference_answer": "42"}, {"ground_truth": "72"}, {"answer_type": "number"}])
def test_references_and_settings_answer_no_prompt(beside: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the file holds prompts; here it must be"):
        read_supervised(write(tmp_path / "rows.jsonl", [{"prompt": U, **beside}]))


def test_as_prompts_or_to_be_judged_nothing_is_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{**GOOD, "review": "rejected", "feedback": "It does not help."}])
    assert read_prompts(path)[0][0].messages == [user()]
    assert read_answered(path)[0].text == A


def test_a_row_that_failed_without_an_answer_is_dropped(tmp_path: Path) -> None:
    rows: Rows = [{"prompt": "x?", "response": None, "error": "timeout"}, {**GOOD, "error": None}]
    (row,), account = read_supervised(write(tmp_path / "rows.jsonl", rows))
    assert (row.completion, account.dropped) == ([bot()], {"empty response": 1})
