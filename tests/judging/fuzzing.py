"""Random judge texts, and what must hold for the score read from any of them.

The test suite reads a slice; `fuzz_judge_texts.py` beside this file reads as many as wanted.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator

from judgeloop.judging.answers import usual_forms
from judgeloop.judging.parse_score import Score, parse_score
from judgeloop.judging.pointwise import read_score
from judgeloop.judging.rubric import Rubric
from judgeloop.text.thoughts import split_thought

SCALES = ((0, 5), (1, 5), (0, 10), (1, 10))
# fmt: off
LABELS = ("Score", "score", "SCORE", "Final score", "Total Score", "overall score", "得分", "总分", "最终得分")
COLONS = (":", "：", " : ", ":\n", "=", " is ", "**:", ":**")
NUMBERS = ("0", "1", "2", "3", "4", "5", "6", "9", "10", "4.5", "3.50", "0.0", "5.01", "-1", "−2", "４")
TOTALS = ("/5", "/10", " / 5", " out of 5", " out of 10", "(out of 5)", "（满分5分）", " of 5", "%", " points", "分")
SPACES = (" ", "  ", "\n", "\n\n", "\r\n", "\t", ".", ",", ";", "!", "。", "，", "-", "–", "~", "+")
MARKS = ("*", "**", "_", "`", '"', "“", "”", "'", "(", ")", "[", "]", "【", "】", "<", ">", "# ", "> ", "- ", "|", "\\")
WORDS = (
    "→", " or ", " to ", "到", "e3", "５", "½", "²", "٤", "Points",
    "The answer is good", "because", "it names 3 points", "回答很好", "5 stars", "1 more point", "I", "nan",
    "\u200b", "\u2028", "\x00", "😀", "\ud7ff", "</response>", "<response>", "<|im_end|>", "{response}",
)
FORMS = (
    '{"score": ', '"score"', "{", "}", ', "why": "good"}', "```json\n", "\n```", "<score>", "</score>", "<rating>",
    "\\boxed{", "$", "[[", "]]", "\n| Total | ", " |",
    "\n| Criterion | Score |\n|---|---|\n", "\n| Clarity | ", "\\(", "\\)",
)
TURNS = (
    "<think>", "</think>", "\n<think>\n", "[THINK]", "[/THINK]", "<|channel|>final<|message|>", "<|channel|>analysis",
    "\nUser: ", "\nExample: ", "Correction: ", "Wait, ", " would need", "最终得分：", "更正：", "Therefore, the ",
)
TONGUES = (  # labels that no rubric here knows, numerals of other scripts, numbers in words
    "Puntuación: ", "Bewertung: ", "Note : ", "Оценка: ", "スコア：", "점수: ", "الدرجة: ", "अंक: ",
    "४", "௫", "𝟒", "４．５", "4 ½", "④", "Ⅳ", "四", "five", "cinco", "пять", "٤٫٥", "3,5", "5 of", "٥",
)
STRUCTURES = (
    '{"rating": {"score": ', '{"scores": [', '"total": ', '"max_score": 5', "null", "true", '"4"', "1e0", "NaN",
    "<final_score>", "</final_score>", "<answer>", "</answer>", "\\fbox{", "\\text{Score: ", "[[Rating: ",
    "\n| Score |\n|---|\n| ", "\n|---|---|\n", "| Total |", "\n- [x] ", "\n1. ", "~~", "<br>", "<b>", "</b>",
    "</thought>", "<reasoning>", "</reasoning>", "◁think▷", "◁/think▷", "analysis", "assistantfinal",
    "<|start|>assistant<|channel|>final<|message|>", "<|return|>", "<unused95>",
    "★★★★☆", "★★", "☆", "four (", "[RESULT] ", " [END]", "<|begin_of_box|>", "<|end_of_box|>", "grade(score=",
    "score=4)", "\nTotal\n", " minutes", "The response says:\n```\n", "\n```\n", "<s>", "</s>", "<parameter=score>",
    "</parameter>",
)
# fmt: on
PIECES = (*LABELS, *COLONS, *NUMBERS, *TOTALS, *SPACES, *MARKS, *WORDS, *FORMS, *TURNS, *TONGUES, *STRUCTURES)
STARTS = ("Score: ", "\nScore: ", "\n**Score:** ", "\n得分：", "\nPoints: ", '\n{"score": ', "<score>")
PROSE = (
    "\nIt is clear, short and right.",
    "\n\n3 of the 5 conditions hold; 4 would do.",
    "\n回答很清楚，有 2 个例子。",
    "\n",
)
# How a judge repeats what it was shown.
COPIES = (
    lambda response: f"I was shown this.\n\n{response}\n",
    lambda response: f"It reads “{response}” and no more.",
    lambda response: json.dumps({"response": response}, ensure_ascii=False),
    lambda response: f"<think>\n{response}\n</think>\n\nIt is thin.",
)
_BARE = re.compile(r"[\W_]*\d[\d.]*[\W_]*(?:\d+[\W_]*)?")
_LEADING = re.compile(r"\s*(?:<reasoning>|analysis)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_STARS = re.compile(r"(?:★[ \t]?)+")


def texts(count: int, seed: int | str) -> Iterator[str]:
    """Pieces of judge texts in random order; every second text has a score line with noise around it."""
    rng = random.Random(seed)
    for number in range(count):
        text = "".join(rng.choices(PIECES, k=rng.randint(0, 14)))
        if number % 2 == 0:
            text += f"{rng.choice(STARTS)}{rng.choice(NUMBERS)}{''.join(rng.choices(PIECES, k=rng.randint(0, 3)))}"
        yield text


def read(text: str, number: int) -> Score:
    """The score of a text on the scale that `number` picks: on that scale and written in the text, or a reason."""
    low, high = SCALES[number % len(SCALES)]
    score = parse_score(text, low, high, "Points" if number % 3 == 0 else None)
    if score.value is None:
        assert score.reason, text
    else:
        assert low <= score.value <= high, text
        assert score.reason is None, text
        assert score.value in written_numbers(text), f"{text!r} has no {score.value}"
    return score


def written_numbers(text: str) -> set[float]:
    """All that is written in digits, of whatever script, with a decimal point or comma, and in stars."""
    usual = usual_forms(text)
    digits = {float(number) for form in (usual, usual.replace(",", ".")) for number in _NUMBER.findall(form)}
    return digits | {float(len(re.sub(r"\s", "", stars))) for stars in _STARS.findall(usual)}


def check(text: str, number: int) -> float | None:
    """Read one text in every way and compare; returns its score on the scale that `number` picks."""
    low, high = SCALES[number % len(SCALES)]
    label = "Points" if number % 3 == 0 else None
    score = read(text, number)
    prose = PROSE[number % len(PROSE)]
    spoken = split_thought(text)
    if _BARE.fullmatch(
        spoken.before if spoken.answer is None else spoken.answer
    ):  # a number alone is an answer, and no longer one with words around it
        prose = "\n"
    assert parse_score(text + prose, low, high, label) == score, f"{text!r} + {prose!r}"
    if not _LEADING.match(text):  # such a tag opens a thought at the beginning of a text alone
        assert parse_score(prose + "\n" + text, low, high, label) == score, f"{prose!r} + {text!r}"
    # A judge that repeats a response, word for word, gives it no score, and its own score line stays its own.
    rubric = Rubric("fuzz", "", f"{label or 'Score'}: ", low, high)
    response = f"Alpha {text} omega"
    for copy in COPIES[number % len(COPIES)], COPIES[0]:
        copied = read_score(rubric, copy(response), response)
        assert copied.value is None, f"{response!r} gave itself {copied.value} by {copy(response)!r}"
    own = read_score(rubric, f"{response}\n\nMy verdict follows.\n\n{rubric.target(high)}", response)
    assert own.value == high, f"{response!r} hid the score: {own.reason}"
    return score.value
