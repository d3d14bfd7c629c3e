"""What a number in a judge's text is written with: the marks around it, units, numbers in words."""

from __future__ import annotations

OPENERS = (
    r"""[ \t"'“”‘’「『<(\[{}⭐\u2605-\u2775\u2794-\u27bf\U0001f300-\U0001faff]*"""  # brackets, stars, signs such as ✅
)
CLOSERS = r"""[ \t"'“”‘’」』》>)\]}]*"""
DASHES = "-\u2013\u2014\u2212"
UNIT = (
    r"(?:points?(?:[ \t]+(?:awarded|earned))?|pts\.?|stars?|sternen?|分|[点點점](?!\d)|★|⭐"
    r"|punkt(?:en?)?|puntos|pontos|punti|балл(?:а|ов)?)"
)
# "4 of 5" in other languages.
OF = r"(?:von|sur|de|di|su|van|av|af|sobre|dari|trên|z|из|із|من)"
NUMBER_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "twenty": 20, "hundred": 100, "十": 10, "百": 100,
}  # fmt: skip
IN_WORDS = "|".join(word for word in NUMBER_WORDS if word.isascii())
