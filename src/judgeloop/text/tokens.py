"""What a text is made of when texts are compared: words of scripts with spaces, characters of scripts without."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

# Scripts written without spaces, and Korean, count by characters: kana, Han, Hangul, Thai, Lao, Burmese, Khmer.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\u1100-\u11ff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
_COPIED_RUN = 5  # tokens in a row that are found in another text too count as copied
_ONE_UNSPACED = re.compile(f"[{UNSPACED}]")


def tokens_of(text: str) -> list[str]:
    """Words in lower case for spaced scripts, characters for Chinese, Japanese, Korean and other unspaced scripts.

    A text without any (only signs) gives its characters, so that such texts too can be told apart.
    """
    plain = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()
    return _TOKEN.findall(plain) or [character for character in plain if not character.isspace()]


def by_characters(tokens: Sequence[str]) -> bool:
    """Whether most of the tokens are characters of an unspaced script."""
    return 2 * sum(_ONE_UNSPACED.match(token) is not None for token in tokens) > len(tokens)


def rouge_l(left: Sequence[str], right: Sequence[str]) -> float:
    """ROUGE-L F of two token sequences: 2·LCS/(m+n), the harmonic mean of LCS/m and LCS/n; 0 if one is empty."""
    if not left or not right:
        return 0.0
    return 2 * LCSseq.similarity(list(left), list(right)) / (len(left) + len(right))


def copied_share(instruction: str, text: str) -> float:
    """The share of the instruction's tokens that are in runs of 5 (of all, if it is shorter) found in the text."""
    asked, said = tokens_of(instruction), tokens_of(text)
    run = min(_COPIED_RUN, len(asked))
    if not run:
        return 0.0
    runs = {tuple(said[i : i + run]) for i in range(len(said) - run + 1)}
    copied: set[int] = set()
    for i in range(len(asked) - run + 1):
        if tuple(asked[i : i + run]) in runs:
            copied.update(range(i, i + run))
    return len(copied) / len(asked)
