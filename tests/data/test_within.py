"""What objects in cells hold: looked at for what speaks against a row, and named as columns by their paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.rated_rows import A, B, Rows, U, bot, user, write
from judgeloop.data.readers import read_ranked, read_supervised
from judgeloop.data.within import at_path, parts_of
from judgeloop.errors import InputError

GOOD: dict[str, Any] = {"prompt": U, "response": A}
PAIR: dict[str, Any] = {"prompt": U, "chosen": A, "rejected": B}
ASKED: dict[str, tuple[Rows, str]] = {
    "a rating": ([{**GOOD, "meta": {"quality": 1}}], r"'meta.quality' is 1, which may rate .*\{score: meta.quality\}"),
    "a rating in one word": ([{**GOOD, "meta": {"quality": "low"}}], "'meta.quality' is 'low', which may rate"),
    "a thumb": ([{**GOOD, "feedback": {"rating": "thumbsDown"}}], "'feedback.rating' is 'thumbsDown'"),
    "a label": ([{**GOOD, "meta": {"is_correct": False}}], r"'meta.is_correct' is False.*\{label: meta.is_correct\}"),
    "a label in text": ([{**GOOD, "meta": '{"is_correct": false}'}], "'meta.is_correct' is False"),
    "a fault": ([{**GOOD, "info": {"toxic": True}}], r"'info.toxic' is True.*\{bad_label: info.toxic\}"),
    "annotators' notes": ([{**GOOD, "note": [{"by": "x", "status": "discarded"}]}], "'note.0.status' is 'discarded'"),
    "annotators' ratings": ([{**GOOD, "annotations": [{"score": 1}, {"score": 2}]}], "'annotations.0.score' is 1"),
    "of a conversation": ([{"messages": [user(), bot()], "meta": {"rating": 2}}], "'meta.rating' is 2"),
    "in a later row": (
        [GOOD | {"meta": None}, GOOD | {"prompt": "x?", "meta": {"error": "502 from x"}}],
        ":2: 'meta.e",
    ),
    "of a pair": ([{**PAIR, "meta": {"swapped": True}}], "'meta.swapped' is True"),
}
QUIET: dict[str, Rows] = {
    "what is good": [{**GOOD, "meta": {"is_correct": True, "toxic": False, "error": None, "lang": "en"}}],
    "what is of the prompt": [{**GOOD, "prompt_info": {"quality": 1}, "meta": {"difficulty": {"score": 1}}}],
    "votes in words": [{**GOOD, "meta": {"upvotes": "15 of them"}}],
    "a chat beside it": [{**GOOD, "sent": [{"role": "user", "content": "rejected"}]}],
    "a row that a label calls bad": [{**GOOD, "is_correct": True, "meta": None},
                                     {**GOOD, "response": B, "is_correct": False, "meta": {"valid": False}}],
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_an_object_says_against_its_row_is_asked(name: str, tmp_path: Path) -> None:
    rows, said = ASKED[name]
    read = read_ranked if "chosen" in rows[0] else read_supervised
    with pytest.raises(InputError, match=said) as caught:
        read(write(tmp_path / "r.jsonl", rows))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", QUIET)
def test_what_speaks_of_nothing_is_left_unread(name: str, tmp_path: Path) -> None:
    (row,), _ = read_supervised(write(tmp_path / "r.jsonl", QUIET[name]))
    assert row.completion[0]["content"] == A


@pytest.mark.parametrize("given", [{"label": None}, {"label": "meta.ok"}])
def test_answers_to_the_question(given: dict[str, str | None], tmp_path: Path) -> None:
    rows = [{**GOOD, "meta": {"ok": "yes"}}, {"prompt": "x?", "response": B, "meta": {"ok": "no", "valid": False}}]
    found, account = read_supervised(write(tmp_path / "r.jsonl", rows), fields=given)
    assert len(found) == (2 if given["label"] is None else 1)
    assert account.dropped == ({} if given["label"] is None else {"answer that its label calls bad": 1})
    assert account.unread == ({"meta": 2} if given["label"] is None else {})


def test_columns_are_named_by_paths(tmp_path: Path) -> None:
    rows = [{"in": {"q": U}, "out": [{"text": A}]}, {"in": {"q": "x?"}, "out": []}]
    path = write(tmp_path / "r.jsonl", rows)
    (row,), account = read_supervised(path, fields={"prompt": "in.q", "response": "out.0.text"})
    assert (row.prompt[0]["content"], row.completion[0]["content"]) == (U, A)
    assert (account.dropped, account.unread) == ({"empty response": 1}, {})
    with pytest.raises(InputError, match=r"no field 'in\.none'"):
        read_supervised(path, fields={"prompt": "in.none", "response": "out.0.text"})


def test_votes_are_named_by_paths(tmp_path: Path) -> None:
    rows = [{"prompt": U, "answer_1": B, "answer_2": A, "seen": {"better": 2}},
            {"prompt": "x?", "answer_1": A, "answer_2": B, "seen": {"better": 1}}]  # fmt: skip
    sets, _ = read_ranked(write(tmp_path / "r.jsonl", rows), fields={"winner": "seen.better"})
    assert [found.responses[0]["text"] for found in sets] == [A, A]


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"asked": {"task": {"question": U}}, "expected": {"answer": A}},
         "{prompt: asked.task.question, response: expected.answer}"),
        ({"url": "/v1", "body": {"messages": [user(), bot()]}}, "{conversation: body.messages}"),
        ({"ask_id": "7", "completion": A}, "{prompt: ???, response: completion}"),
    ],
)  # fmt: skip
def test_the_error_names_paths(row: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_supervised(write(tmp_path / "r.jsonl", [row]))
    assert str(caught.value).endswith(f"seed_data.fields: {line}")


def test_an_object_in_place_of_a_text_names_its_parts(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [{"inputs": {"question": U}, "output": A}])
    with pytest.raises(InputError, match=r"'inputs' is an object; .* which part of it counts, as inputs\.question"):
        read_supervised(path)


def test_paths_of_parts() -> None:
    row = {"a": {"b.c": [{"d": 1}, {"d": [2, 3]}]}, "e": '{"f": {"g": 4}}', "h": "text"}
    parts = dict(part for key, value in row.items() for part in parts_of(key, value))
    assert parts == {"a.b.c.0.d": 1, "a.b.c.1.d": [2, 3], "e.f.g": 4}
    assert all(at_path(row, path) == value for path, value in parts.items())
    for missing in ("a.x", "a.b.c.2", "a.b.c.x.d", "h.i", "z"):
        with pytest.raises(KeyError):
            at_path(row, missing)
