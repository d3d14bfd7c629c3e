"""Is a text an instruction that a text model can be asked? The filters of Self-Instruct (arXiv 2212.10560, §2.2 and
its appendix), made to hold per script: a Chinese instruction is measured by Chinese rules."""

from __future__ import annotations

import re
import string
import unicodedata

from judgeloop.config import PromptsSection
from judgeloop.instructions.novelty import UNSPACED, tokens_of

# What a text model can neither see nor make.
_ENGLISH_MEDIA = re.compile(
    r"\b(?:images?|pictures?|photos?|photographs?|screenshots?|graphs?|plots?|charts?|diagrams?|flowcharts?|drawings?"
    r"|videos?|audio|files?|attach(?:ed|ments?)|draw|upload(?:ed)?|click)\b",
    re.IGNORECASE,
)
_CHINESE_MEDIA = re.compile("图片|图像|照片|截图|图表|示意图|流程图|视频|音频|附件|文件|画一|上传|点击")
# Words that cannot end a sentence: what follows them was cut off.
_DANGLING = re.compile(
    r"\b(?:a|an|the|and|or|of|to|with|for|from|by|your|my|their|its|as|than|that|which)$", re.IGNORECASE
)
_OPENING_SIGNS = "¿¡"


def rejection(text: str, config: PromptsSection) -> str | None:
    """Why the text is no usable instruction, or None where it is.

    Length counts words in spaced scripts and characters in Chinese, Japanese and Korean (`config.min_words`,
    `config.max_words`).
    """
    text = text.strip()
    length = len(tokens_of(text)) if text else 0
    if length < config.min_words:
        return "too short"
    if length > config.max_words:
        return "too long"
    if _starts_with_punctuation(text):
        return "starts with punctuation"
    if _ENGLISH_MEDIA.search(text) or _CHINESE_MEDIA.search(text):
        return "needs more than text"
    if _cut_off(text):
        return "cut off"
    if text.endswith((":", "：")):
        return "announces an input that is missing"
    if _goes_round(text):
        return "repeats itself"
    return None


def _starts_with_punctuation(text: str) -> bool:
    first = text[0]
    if first in string.punctuation:
        return True
    opens = unicodedata.category(first) in {"Ps", "Pi"} or first in _OPENING_SIGNS
    return unicodedata.category(first).startswith(("P", "S", "C")) and not opens


def _cut_off(text: str) -> bool:
    """Ends on a comma, an opening bracket, a dash or a word that needs another, or leaves a bracket open."""
    if text[-1] in ",;，；、(（[【{“‘「《-–—" or _DANGLING.search(text):
        return True
    return any(
        text.count(left) > text.count(right) for left, right in ("()", "（）", "[]", "【】", "“”", "「」", "《》")
    )


def _goes_round(text: str) -> bool:
    """Whether fewer than 60% of the token triples differ, in texts long enough to tell."""
    tokens = tokens_of(text)
    triples = [tuple(tokens[i : i + 3]) for i in range(len(tokens) - 2)]
    if len(triples) >= 4 and len(set(triples)) < 0.6 * len(triples):
        return True
    return re.search(rf"\b([^\W\d{UNSPACED}]+)(?:\s+\1){{2,}}\b", text, re.IGNORECASE) is not None
