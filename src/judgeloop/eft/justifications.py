"""Template justifications for EFT rows that people ranked but did not explain: a sentence that fits the score."""

from __future__ import annotations

import random
import re

from judgeloop.judging.rubric import Rubric

_ENGLISH: tuple[tuple[str, ...], ...] = (
    (
        "The response does not help with what was asked.",
        "Nothing in this response serves the request.",
        "What was asked for is missing altogether.",
    ),
    (
        "The response touches the subject and little more.",
        "It is about the right thing, yet most of the request stays open.",
        "Only a small part of this can be called an answer.",
    ),
    (
        "A fair part of the request is dealt with, but too much is left open.",
        "Some of it helps; the answer as a whole is unfinished.",
        "It goes in the right direction and stops halfway.",
    ),
    (
        "The basics are answered in a usable way, though with gaps.",
        "It can be used, but a better answer would say more or say it better.",
        "The main point is there; care and detail are not.",
    ),
    (
        "A clear and helpful answer with little left to improve.",
        "It does what was asked and is well put, with small flaws.",
        "Direct and useful; only details could be better.",
    ),
    (
        "It does exactly what was asked, clearly and without padding.",
        "There is nothing to add and nothing to remove.",
        "The answer fits the request in every point and reads well.",
    ),
)
_CHINESE: tuple[tuple[str, ...], ...] = (
    ("回答没有帮到提问的人。", "所要求的内容完全没有出现。"),
    ("回答只是碰到了主题。", "方向对了，但大部分要求没有回应。"),
    ("回答了一部分，但遗漏太多。", "有些内容有用，整体没有完成。"),
    ("基本要点都有，可以使用，但不够完整。", "主要内容在，细节和条理还差一些。"),
    ("清楚而有用，只有小处可以改进。", "做到了所要求的，表达也好，略有瑕疵。"),
    ("完全符合要求，清楚而不啰嗦。", "每一点都回应了，没有多余的话。"),
)


def justification_for(score: int, rubric: Rubric, rng: random.Random) -> str:
    """One sentence for a score on the rubric's scale, in the rubric's language; on other scales than 0-5 the one for
    the same height."""
    sentences = _CHINESE if is_chinese(rubric) else _ENGLISH
    height = (score - rubric.low) / (rubric.high - rubric.low)
    return rng.choice(sentences[round(height * (len(sentences) - 1))])


def is_chinese(rubric: Rubric) -> bool:
    """Whether the rubric's score line is Chinese, and with it what a judge writes."""
    return re.search(r"[\u4e00-\u9fff]", rubric.score_line) is not None
