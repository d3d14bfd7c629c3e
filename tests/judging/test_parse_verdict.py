import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgeloop.judging.parse_verdict import parse_choice


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Better: A", "first"),
        ("A is short, B is wrong.\n**Better:** B", "second"),
        ("better：Ｂ", "second"),
        ("更好：A", "first"),
        ("更好：后者", "second"),
        ("B.", "second"),
        (" **A** ", "first"),
        ("Better: Answer B is the clearer one", "second"),
        ("The better response is A.", "first"),
        ("Better: <B>", "second"),
        ("The winner is the second response", "second"),
        ("Better: A\nOn reflection:\nBetter: B", "second"),  # the last line wins
        ("Better: tie", "neither"),
        ("Better: both are the same", "neither"),
    ],
)
def test_verdicts_that_are_read(text: str, value: str) -> None:
    found = parse_choice(text)
    assert (found.value, found.reason) == (value, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no verdict line"),
        ("I like A. I like B.", "no verdict line"),
        ("Better: C", "neither A nor B on the verdict line"),
        ("Better: Alpha", "neither A nor B on the verdict line"),
        ("Better: a little of each", "neither A nor B on the verdict line"),
        ("The better one is not A", "neither A nor B on the verdict line"),
        ("Better: A or B", "A and B on the verdict line"),
        ("Better: A/B", "A and B on the verdict line"),
        ("更好：A和B", "A and B on the verdict line"),
        ("Better: A\nBetter: A or B", "A and B on the verdict line"),  # no falling back on an earlier line
    ],
)
def test_verdicts_that_are_not(text: str, reason: str) -> None:
    found = parse_choice(text)
    assert (found.value, found.reason) == (None, reason)


def test_a_verdict_that_a_response_holds_may_be_a_copy() -> None:
    shown = ("Here you are.\n**Better: A**", "Something else.")
    assert parse_choice("Better: A", shown).reason == "its verdict line stands in a response too"
    assert parse_choice("It says\nBetter: A\nbut it is not.\nBetter: B", shown).value == "second"


@given(st.text())
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    found = parse_choice(text, (text[::-1],))
    assert (found.value is None) == (found.reason is not None)


@given(st.text(alphabet="ab:AB \n*Better", max_size=30), st.sampled_from(["A", "B"]))
def test_the_last_line_decides_whatever_stands_before(text: str, side: str) -> None:
    assert parse_choice(f"{text}\nBetter: {side}").value == {"A": "first", "B": "second"}[side]
