"""Is a text an instruction that a text model can be asked? The filters of Self-Instruct (arXiv 2212.10560, §2.2 and
its appendix), language by language: a Chinese instruction is measured by Chinese rules, an English one by English
rules, and one in a language without rules of its own by those that apply to every script."""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache

from judgeloop.config import PromptsSection
from judgeloop.shipped import shipped_text, ships
from judgeloop.text.language import Language, language_of
from judgeloop.text.tokens import UNSPACED, tokens_of

_PACKAGE = "judgeloop.instructions"
# How a sentence ends that was cut off: on a word that needs another. Only what no good sentence ends with (a Chinese
# question may well end with 的).
_DANGLING: dict[Language, re.Pattern[str]] = {
    "en": re.compile(
        r"\b(?:a|an|the|and|or|of|to|with|for|from|by|your|my|their|its|as|than|that|which)$", re.IGNORECASE
    ),
    "zh": re.compile("(?:以及|以便|或者|因为|由于|如果|例如|比如|包括|对于|关于|并且|而且|但是|的[和与或])$"),
    "ja": re.compile("(?:[をは]|または|および|について|による|ための)$"),
    "ko": re.compile("(?:를|및|그리고|또는|에 대한|위한)$"),
}
# Words that point at material, which must then be there.
_THING = r"(?:texts?|sentences?|paragraphs?|passages?|articles?|words?|phrases?|statements?|reviews?|tweets?|emails?)"
_POINTS: dict[Language, re.Pattern[str]] = {
    "en": re.compile(
        rf"\b(?:the|these)\s+following\b|\b(?:the|each|these|two|three)\s+(?:given|provided)\s+\w"
        rf"|\b(?:this|these|given|provided)\s+{_THING}\b|\b{_THING}\s+below\b|\bbelow\W*$",
        re.IGNORECASE,
    ),
    "zh": re.compile(
        "下面[的这這列是]|(?<![0-9字岁歲度元个])以下(?!简称)|下列|如下|给定的|所给|下述|上述|这[段句篇][话文]?(?!时间)"
    ),
    "ja": re.compile("次の(?!日|週|月|年|世代)|以下の|下記の|この文"),
    "ko": re.compile("다음(?! ?(?:날|주|달|해|세대))|아래의|주어진|이 문장"),
}
# What a sentence begins with that states something, and what nevertheless makes a text a request.
_STATES = re.compile(
    r"(?:the|this|that|these|those|it|its|there|here|he|she|they|we|our|you|your|i|i'm|my|a|an|yes|no|sure|okay)\b",
    re.IGNORECASE,
)
_REQUESTS = re.compile(
    r"(?:^|[.!;:,]\s+|\n\s*|\b(?:and|then|please|to)\s+)(?:please|explain|describe|write|give|tell|list|create|show|help|"
    r"provide|suggest|compare|summari[sz]e|define|discuss|outline|what|how|why|which|who|when|where|can|could)\b"
    r"|\bi(?:'d| would) like\b|\bi(?:'m| am)? (?:want|need|wonder(?:ing)?)\b|\blooking for\b",
    re.IGNORECASE,
)
_CHINESE_REQUESTS = re.compile(
    "请|請|如何|怎|什么|甚麼|什麼|为什么|哪|谁|誰|几|幾|多少|吗|嗎|呢|是否|能否|可否|有没有|写|寫|列|给|給|说|說|讲|講|解释|描述|"
    "介绍|总结|概括|比较|分析|翻译|推荐|举|帮|告诉|设计|编|回答"
)
_MATERIAL = re.compile(r"[:：]\s*\S|\n\s*\S|[“「『《\"‘`].{2,}?[”」』》\"’`]", re.DOTALL)
_OPENING_SIGNS = "¿¡"
_UNSPACED = re.compile(f"[{UNSPACED}]")
_RUN = re.compile(rf"([{UNSPACED}]{{1,8}}?)\1{{3,}}")
_WORD_RUN = re.compile(rf"\b([^\W\d{UNSPACED}]+)(?:\s+\1){{2,}}\b", re.IGNORECASE)
_BRACKETS = ("()", "（）", "[]", "【】", "“”", "「」", "『』", "《》")


def rejection(text: str, config: PromptsSection, *, has_input: bool = False) -> str | None:
    """Why the text is not a usable instruction, or None if it is one.

    Length counts words in spaced scripts (`config.min_words`, `config.max_words`), and characters in Chinese,
    Japanese, Korean and other unspaced scripts (`config.min_characters`, `config.max_characters`); a word of
    another script among them counts as one. `has_input` says that the instruction comes with an input, which it may
    announce.
    """
    text = text.strip()
    language = language_of(text)
    length = len(tokens_of(text)) if text else 0
    by_characters = language in ("zh", "ja", "ko") or len(_UNSPACED.findall(text)) * 2 > length
    if length < (config.min_characters if by_characters else config.min_words):
        return "too short"
    if length > (config.max_characters if by_characters else config.max_words):
        return "too long"
    if _starts_with_punctuation(text):
        return "starts with punctuation"
    if _blocked(config.blocked_words, language, text):
        return "needs more than text"
    if _cut_off(text, language):
        return "cut off"
    if not has_input and text.endswith((":", "：")):
        return "announces an input that is missing"
    if repeats_itself(text):
        return "repeats itself"
    return None


def is_request(text: str) -> bool:
    """Whether the text asks for something, as far as its language has a rule: English and Chinese have one. What does
    not begin like a statement passes."""
    if "?" in text or "？" in text:
        return True
    language = language_of(text)
    if language == "zh":
        return _CHINESE_REQUESTS.search(text) is not None
    if language == "en":
        return _STATES.match(text) is None or _REQUESTS.search(text) is not None
    return True


def lacks_input(text: str) -> bool:
    """Whether the instruction speaks of material ("the following sentence", "下面这句话") that it does not contain.

    For instructions that will get no input any more; one with a quotation, or with words after a colon or on a
    further line, has what it speaks of.
    """
    text = text.strip()
    if text.endswith((":", "：")):
        return True
    pattern = _POINTS.get(language_of(text))
    return pattern is not None and pattern.search(text) is not None and _MATERIAL.search(text) is None


def shipped_words(language: Language) -> tuple[str, ...]:
    """The words and phrases that ship as blocked in one language; none if the language has no list."""
    file = f"blocked/{language}.txt"
    return _listed(shipped_text(_PACKAGE, file)) if ships(_PACKAGE, file) else ()


@lru_cache(maxsize=8)
def _listed(text: str) -> tuple[str, ...]:
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _blocked(words: tuple[str, ...] | None, language: Language, text: str) -> bool:
    """Whether the text contains a blocked word: the user's words in any language, the shipped ones in their own."""
    pattern = _pattern(shipped_words(language) if words is None else words)
    return pattern is not None and pattern.search(text) is not None


@lru_cache(maxsize=8)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """One expression for all of the words. Words of a spaced script match whole, whatever is next to them in another
    script; characters of unspaced scripts match anywhere."""
    anywhere = [re.escape(word).replace(r"\*", "[^。！？\n]{0,4}") for word in words if _UNSPACED.search(word)]
    whole = [_spaced_expression(word) for word in words if not _UNSPACED.search(word)]
    letter = rf"[^\W{UNSPACED}]"
    either = [*anywhere, *([rf"(?<!{letter})(?:{'|'.join(whole)})(?!{letter})"] if whole else [])]
    return re.compile("|".join(either), re.IGNORECASE) if either else None


def _spaced_expression(word: str) -> str:
    found, gap = "", r"\s+"
    for part in word.split():
        if part == "*":
            gap += r"(?:\S+\s+){0,2}"
            continue
        stem = part.removesuffix("*")
        found += (gap if found else "") + re.escape(stem) + (r"\w*" if stem != part else "")
        gap = r"\s+"
    return found


def _starts_with_punctuation(text: str) -> bool:
    first = text[0]
    if first in "\"'":  # a quotation is fine if the instruction goes on after it
        closing = text.find(first, 1)
        return closing < 0 or len(tokens_of(text[closing + 1 :])) < 2
    if first in string.punctuation:
        return True
    opens = unicodedata.category(first) in {"Ps", "Pi"} or first in _OPENING_SIGNS
    return unicodedata.category(first).startswith(("P", "S", "C")) and not opens


def _cut_off(text: str, language: Language) -> bool:
    """Ends on a comma, an opening bracket, a dash or a word that needs another, or leaves a bracket open."""
    dangling = _DANGLING.get(language)
    if text[-1] in ",;，；、(（[【{“‘「『《-–—" or (dangling is not None and dangling.search(text)):
        return True
    return any(text.count(pair[0]) > text.count(pair[1]) for pair in _BRACKETS)


def repeats_itself(text: str) -> bool:
    """Whether a text repeats itself: fewer than 60% of its token triples differ, in texts long enough to tell, or a
    word occurs three times in a row, or a sequence of characters four times."""
    tokens = tokens_of(text)
    triples = [tuple(tokens[i : i + 3]) for i in range(len(tokens) - 2)]
    if len(triples) >= 4 and len(set(triples)) < 0.6 * len(triples):
        return True
    return _WORD_RUN.search(text) is not None or _RUN.search(text) is not None
