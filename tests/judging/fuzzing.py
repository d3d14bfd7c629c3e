"""Random judge texts, and what must hold for the score read from any of them.

    python tests/judging/fuzzing.py [--texts 1000000] [--seed 0]

The test suite runs a slice; this runs as many as wanted and says what was found.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import Counter
from collections.abc import Iterator

from judgeloop.judging.parse_score import parse_score
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
# fmt: on
PIECES = (*LABELS, *COLONS, *NUMBERS, *TOTALS, *SPACES, *MARKS, *WORDS, *FORMS, *TURNS)
STARTS = ("Score: ", "\nScore: ", "\n**Score:** ", "\n得分：", "\nPoints: ", '\n{"score": ', "<score>")
PROSE = (
    "\nIt is clear, short and right.",
    "\n\n3 of the 5 conditions hold; 4 would do.",
    "\n回答很清楚，有 2 个例子。",
    "\n",
)
_BARE = re.compile(r"[\W_]*\d[\d.]*[\W_]*(?:\d+[\W_]*)?")


def texts(count: int, seed: int) -> Iterator[str]:
    """Pieces of judge texts in random order; every second text has a score line with noise around it."""
    rng = random.Random(seed)
    for number in range(count):
        text = "".join(rng.choices(PIECES, k=rng.randint(0, 14)))
        if number % 2 == 0:
            label = rng.choice(
                ("Score: ", "\nScore: ", "\n**Score:** ", "\n得分：", "\nPoints: ", '\n{"score": ', "<score>")
            )
            text += f"{label}{rng.choice(NUMBERS)}{''.join(rng.choices(PIECES, k=rng.randint(0, 3)))}"
        yield text


def check(text: str, number: int) -> float | None:
    """Read one text in every way and compare; returns its score on the scale that `number` picks."""
    low, high = SCALES[number % len(SCALES)]
    label = "Points" if number % 3 == 0 else None
    score = parse_score(text, low, high, label)
    if score.value is None:
        assert score.reason, text
    else:
        assert low <= score.value <= high, text
        assert score.reason is None, text
        assert any(character.isdigit() for character in text), text
    prose = PROSE[number % len(PROSE)]
    spoken = split_thought(text)
    if _BARE.fullmatch(
        spoken.before if spoken.answer is None else spoken.answer
    ):  # a number alone is an answer, and no longer one with words around it
        prose = "\n"
    assert parse_score(text + prose, low, high, label) == score, f"{text!r} + {prose!r}"
    assert parse_score(prose + "\n" + text, low, high, label) == score, f"{prose!r} + {text!r}"
    # A judge that repeats a response, word for word, gives it no score, and its own score line stays its own.
    rubric = Rubric("fuzz", "", f"{label or 'Score'}: ", low, high)
    response = f"Alpha {text} omega"
    copied = read_score(rubric, f"I was shown this.\n\n{response}\n", response)
    assert copied.value is None, f"{response!r} gave itself {copied.value}"
    own = read_score(rubric, f"{response}\n\nMy verdict follows.\n\n{rubric.target(high)}", response)
    assert own.value == high, f"{response!r} hid the score: {own.reason}"
    return score.value


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    found = Counter(check(text, number) is not None for number, text in enumerate(texts(options.texts, options.seed)))
    seconds = time.perf_counter() - started
    print(f"{options.texts} texts in {seconds:.0f} s: {found[True]} with a score, {found[False]} without, all in order")


if __name__ == "__main__":
    main()
