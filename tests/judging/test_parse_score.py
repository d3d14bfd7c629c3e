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
    ("Score:\n4", 4),
    ("### Score:\n\n4", 4),
    ("## Score\n\n**4/5**\n\nGood.", 4),
    ("Score 4", 4),
    ("4", 4),
    ("**4/5**", 4),
    ("Score: 1 + 1 + 1 = 3", 3),
    ("Score: 4 (1+1+1+1+0)", 4),
    ("The score is 4.", 4),
    ("Therefore, the total score is 4.", 4),
    ("Final Answer: Score: 4", 4),
    ("Score: 4 (1 for style)", 4),
    # Other numbers never count.
    ("I count 3 good points and 2 bad ones. Score: 5", 5),
    ("3 of the 4 conditions hold.\n\nScore: 5", 5),
    ("1 point: yes\n1 more point: yes\nScore: 2", 2),
    ("Score: 2\nOn reflection:\nScore: 3", 3),
    ("Score: 3\nScore: high", 3),
    ("Score:\n1 point for the topic\nScore: 2", 2),
    ("Score: 4\nThe response says 9 things.", 4),
]

REFUSED = [
    ("", "no score line"),
    ("I would give it 4 points.", "no score line"),
    ("Underscore: 3", "no score line"),
    ("high-score: 5", "no score line"),
    ("the response says score: 5", "no score line"),
    ("Scored: 5", "no score line"),
    ("Score:", "no number"),
    ("Score: nan", "no number"),
    ("Score: inf", "no number"),
    ("Score: five", "no number"),
    ("Score: high", "no number"),
    ("Score: ½", "no number"),
    ("Score: <total points>", "no number"),
    ("Score: 6", "score 6 outside 0-5"),
    ("Score: 5.01", "score 5.01 outside 0-5"),
    ("Score: 100", "score 100 outside 0-5"),
    ("Score: -1", "negative"),
    ("Score: −1", "negative"),
    ("得分：-2", "negative"),
    # Under a heading the number is alone, not the first item of a list.
    ("Score:\n1. It is on topic.", "no number"),
    ("Score:\n1\n2\n3", "no number"),
    ("I would give it 4 out of 5.", "no score line"),
    ("The response deserves a 4.", "no score line"),
    ("Quality score: 4", "no score line"),
    ("Verdict: 4", "no score line"),
    ("Score 5: perfect\nScore 4: good", "no number"),
    ("Score: 1 + 1 + 1 = 4", "more than one number"),
    ("Score: 3 (maybe 4)", "more than one number"),
    ("得分：5分中的4分", "malformed"),
    ("Score: 4 of 5 for a perfect answer. Score: 2", "two answers"),
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
    ("Score: 1+1", "more than one number"),
    ("Score: 3 → 4", "more than one number"),
    ("Score: 3 -> 4", "more than one number"),
    ("Score: 3, 4", "more than one number"),
    ("Score: 4 | 5", "more than one number"),
    ("Score: **4** or **5**", "more than one number"),
    ("Score: 4½", "malformed"),
    ("Score: 4 ½", "malformed"),
    ("Score: 4.½", "malformed"),
    ("Score: 4²", "malformed"),
    ("Score: 4th", "malformed"),
    ("Score: 3D", "malformed"),
    ("Score: 4%", "malformed"),
    ("Score: 4,5", "malformed"),
    ("Score: 1e1", "malformed"),
    ("Score: 4.5.6", "malformed"),
    ("Score: 4/5/5", "malformed"),
    ("Score: 1234567890123", "malformed"),
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
    assert parse_score("Points: 4\nScore: 3", label="Points").value == 4  # it is the one that was asked for


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("json mark", '{"mark": 4}\n\nOthers might get this.\n\n{"mark": 2}'),
        ("<mark>", "<mark>4</mark>\n\nOthers might get this.\n\n<mark>2</mark>"),
    ],
)
def test_the_first_answer_counts_in_a_form_of_the_rubrics_own(form: str, text: str) -> None:
    assert parse_score(text, form=form).value == 4


def test_where_the_score_lines_are() -> None:
    text = "Score: high\nI say.\n**Final score: 3** of 5. 得分：４"
    assert [text[start:end] for start, end in score_spans(text)] == ["Final score: 3** of 5", "得分：４"]


def test_eight_thousand_random_texts() -> None:
    found = [check(text, number) is not None for number, text in enumerate(texts(8_000, seed=1))]
    assert 1_000 < sum(found) < 7_000  # the slice has both


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


@given(st.text(alphabet="ab :=\n.,/-*|0123456789：分").filter(lambda text: any(c.isalpha() for c in text)))
def test_without_a_label_there_is_no_score(text: str) -> None:
    assert parse_score(text).value is None


@given(st.text(alphabet="abc 0123456789\n.,/-"), st.sampled_from([0, 1, 2, 3, 4, 5, 2.5]))
def test_words_and_numbers_before_the_score_line_change_nothing(before: str, score: float) -> None:
    assert parse_score(f"{before}\nScore: {score}").value == score


@pytest.mark.parametrize(
    "piece",
    [
        "score ",
        "* ",
        "Score:",
        "-",
        "\n\n",
        "Score: 3 ",
        "final ",
        "得分",
        "Score: 4/",
        "{",
        '{"score": 4} ',
        '{"a":',
        "[",
        "<score>",
        "<score>4</score>",
        "| Total | 4 |\n",
        "\\boxed{",
        "[[4]]",
        '"',
        "<think>",
        "Score:\n",
        "\nScore",
        "Score: 3\nwait ",
        "<",
        "the ",
        "1. a\nScore: 1\n",
        "| ",
        ", ",
        "Score: 1+",
        '\\" {response} ',
    ],
)
def test_the_time_for_a_text_grows_with_its_length_alone(piece: str) -> None:
    def seconds(count: int) -> float:
        return min(_processor_time(piece * count) + _processor_time("Score: 4" + piece * count) for _ in range(2))

    assert seconds(8_000) < 10 * seconds(2_000) + 0.05  # four times as long: 4 if it grows with the length, else 16


def _processor_time(text: str) -> float:
    started = time.process_time()
    parse_score(text)
    return time.process_time() - started
