"""What is kept of the rows of evaluation prompts."""

from judgeloop.stages.asked import short_fields


def test_short_fields_are_kept_and_what_is_asked_is_not() -> None:
    messages = [{"role": "user", "content": "Write a short poem."}]
    row = {
        "prompt": "Write a short poem.", "rule": "short", "level": 3, "hard": False, "kinds": ["a", "b"], "none": None,
        "answer": "x" * 300, "parts": {"a": 1}, "nested": [[1]], "made": b"bytes",
    }  # fmt: skip
    assert short_fields(row, messages) == {"rule": "short", "level": 3, "hard": False, "kinds": ["a", "b"]}
