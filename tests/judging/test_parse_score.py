from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgeloop.judging.parse_score import parse_score, score_spans
from judging.fuzzing import check, texts

ACCEPTED = [
    ("Score: 5", 5),
    ("Score: 0", 0),
    ("Score:3", 3),
    ("Score : 3", 3),
    ("SCORE: 3", 3),
    ("score = 2", 2),
    ("Score is 3", 3),
    ("  Score: 4  ", 4),
    ("Final score: 3", 3),
    ("Total score: 2", 2),
    ("Score: 4.5", 4.5),
    ("Score: 5.0", 5),
    ("Score: 03", 3),
    ("Score: 4/5", 4),
    ("Score: 4 / 5", 4),
    ("Score: 4.5/5", 4.5),
    ("Score: 4 out of 5", 4),
    ("Score: 4 points", 4),
    ("Score: 4 of 5 points", 4),
    ("Score: 4.", 4),
    ("Score: 4, for the reasons above", 4),
    ("Score: 4 - a good answer", 4),
    ("Score: 3\r\n", 3),
    ("**Score:** 4", 4),
    ("**Score: 4**", 4),
    ("**Score**: 4", 4),
    ("__Score__: *4*", 4),
    ("`Score: 3`", 3),
    ('"Score: 4"', 4),
    ("“Score: 4”", 4),
    ("# Score: 4", 4),
    ("> Score: 4", 4),
    ("- Score: 4", 4),
    ("Score: <4>", 4),
    ("Score: [4]", 4),
    ("Score: (4)", 4),
    ("Score：4", 4),
    ("Score：４／５", 4),
    ("得分：4", 4),
    ("得分: ４", 4),
    ("得分：4分", 4),
    ("得分：【4】", 4),
    ("总分：3", 3),
    ("理由充分。得分：4", 4),
    ("最终得分：4", 4),
    ("评分：4分（满分5分）", 4),
    ("Overall score: 3", 3),
    ("[Score: 4]", 4),
    ("| Score: 4 |", 4),
    ("(Score: 4/5)", 4),
    ("Score: 4 (out of 5)", 4),
    ("Score: 4 points out of 5", 4),
    ("Score: 4 **/** 5", 4),
    ("Score: 4stars", 4),
    ("Score: 4, 2 of which for style", 4),
    ("Score: 4\r\n5", 4),
    # Other numbers never count; the last score line does.
    ("I count 3 good points and 2 bad ones. Score: 5", 5),
    ("3 of the 4 conditions hold.\n\nScore: 5", 5),
    ("1 point: yes\n1 more point: yes\nScore: 2", 2),
    ("Score: 2\nOn reflection:\nScore: 3", 3),
    ("Score: 3. No: Score: 3; Score: 4", 4),
    ("Score: 3\nScore: high", 3),
    ("Score:\n1 point for the topic\nScore: 2", 2),
    ("Score: 4\nThe response says 9 things.", 4),
]

REFUSED = [
    ("", "no score line"),
    ("5", "no score line"),
    ("4/5", "no score line"),
    ("I would give it 4 points.", "no score line"),
    ("score 4", "no score line"),
    ("Underscore: 3", "no score line"),
    ("high-score: 5", "no score line"),
    ("the response says score: 5", "no score line"),
    ("Scored: 5", "no score line"),
    ("Score", "no score line"),
    ("Score:", "no number"),
    ("Score: nan", "no number"),
    ("Score: inf", "no number"),
    ("Score: five", "no number"),
    ("Score: high", "no number"),
    ("Score: ½", "no number"),
    ("Score: <total points>", "no number"),
    # A number under a heading may be the first item of a list, so it is no score.
    ("Score:\n4", "no number"),
    ("### Score:\n\n4", "no number"),
    ("Score: 6", "score 6 outside 0-5"),
    ("Score: 5.01", "score 5.01 outside 0-5"),
    ("Score: 100", "score 100 outside 0-5"),
    ("Score: -1", "negative"),
    ("Score: −1", "negative"),
    ("得分：-2", "negative"),
    ("Score: 3-4", "more than one number"),
    ("Score: 3–4", "more than one number"),
    ("Score: 3 or 4", "more than one number"),
    ("Score: 3 to 4", "more than one number"),
    ("Score: 3 and 4", "more than one number"),
    ("Score: 3 4", "more than one number"),
    ("得分：3到4", "more than one number"),
    ("Score: 5/10", "score out of 10, not 5"),
    ("Score: 4 out of 10", "score out of 10, not 5"),
    ("Score: 4/50", "score out of 50, not 5"),
    ("Score: 4 (out of 10)", "score out of 10, not 5"),
    ("得分：4分（满分10分）", "score out of 10, not 5"),
    ("Score: 1 + 1 + 1 = 3", "more than one number"),
    ("Score: 1+1", "more than one number"),
    ("Score: 3 → 4", "more than one number"),
    ("Score: 3 -> 4", "more than one number"),
    ("Score: 3, 4", "more than one number"),
    ("Score: 4 | 5", "more than one number"),
    ("Score: **4** or **5**", "more than one number"),
    ("Score: 4½", "malformed"),
    ("Score: 4²", "malformed"),
    ("Score: 4th", "malformed"),
    ("Score: 3D", "malformed"),
    ("Score: 4%", "malformed"),
    ("Score: 4,5", "malformed"),
    ("Score: 1e1", "malformed"),
    ("Score: 4.5.6", "malformed"),
    ("Score: 4/5/5", "malformed"),
    ("Score: 1234567890123", "malformed"),
    # A last line that holds a number but no score is not papered over with an earlier one.
    ("Score: 3\nScore: 9", "score 9 outside 0-5"),
]


@pytest.mark.parametrize(("text", "expected"), ACCEPTED)
def test_a_score_line_is_read(text: str, expected: float) -> None:
    found = parse_score(text)
    assert (found.value, found.reason) == (expected, None)


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_anything_else_is_none_with_a_reason(text: str, reason: str) -> None:
    found = parse_score(text)
    assert found.value is None
    assert reason in (found.reason or "")


@pytest.mark.parametrize(
    ("text", "low", "high", "score"),
    [
        ("Score: 0", 1, 5, None),
        ("Score: 1", 1, 5, 1),
        ("Score: 7/10", 0, 10, 7),
        ("Score: 7/5", 0, 10, None),
        ("Score: 10", 1, 10, 10),
        ("Score: 11", 1, 10, None),
        ("Score: 0.5", 1, 5, None),
    ],
)
def test_the_scale_is_the_rubrics(text: str, low: int, high: int, score: float | None) -> None:
    assert parse_score(text, low, high).value == score


def test_a_rubrics_own_word_counts_beside_the_usual_ones() -> None:
    assert parse_score("Points: 4").value is None
    assert parse_score("Points: 4", label="Points").value == 4
    assert parse_score("**points：** 4/5", label="Points").value == 4
    assert parse_score("Score: 3\nPoints: 4", label="Points").value == 4
    assert parse_score("Points (0-5): 4", label="Points (0-5)").value == 4
    assert parse_score("Points: 4\nScore: 3", label="Points").value == 3


def test_where_the_score_lines_are() -> None:
    text = "Score: high\nI say.\n**Final score: 3** of 5. 得分：４"
    assert [text[start:end] for start, end in score_spans(text)] == ["Final score: 3", "得分：４"]


def test_twenty_thousand_random_texts() -> None:
    found = [check(text, number) is not None for number, text in enumerate(texts(20_000, seed=1))]
    assert 2_000 < sum(found) < 18_000  # the slice has both


PIECES = st.sampled_from(
    [
        "Score",
        "score",
        "得分",
        ":",
        "：",
        " ",
        "\n",
        "3",
        "5",
        "9",
        ".",
        "-",
        "/",
        "*",
        "out of",
        "or",
        "e",
        "%",
        "nan",
        "４",
        "a",
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=20).map("".join)))
def test_it_never_raises_and_never_leaves_the_range(text: str) -> None:
    found = parse_score(text)
    if found.value is None:
        assert found.reason
    else:
        assert 0 <= found.value <= 5
        assert found.reason is None


@given(st.text().filter(lambda text: "score" not in text.lower() and "得分" not in text and "总分" not in text))
def test_without_a_label_there_is_no_score(text: str) -> None:
    assert parse_score(text).value is None


@given(st.text(alphabet="abc 0123456789\n.,/-"), st.sampled_from([0, 1, 2, 3, 4, 5, 2.5]))
def test_words_and_numbers_before_the_score_line_change_nothing(before: str, score: float) -> None:
    assert parse_score(f"{before}\nScore: {score}").value == score


@pytest.mark.parametrize("piece", ["score ", "* ", "Score:", "-", "\n\n", "Score: 3 ", "final ", "得分", "Score: 4/"])
def test_a_long_text_is_read_quickly(piece: str) -> None:
    started = time.process_time()
    parse_score(piece * 20_000)
    parse_score("Score: 4" + piece * 20_000)
    assert time.process_time() - started < 2
