"""Random texts that compare two responses, and texts that would leave their fence; what must hold for any of them."""

from __future__ import annotations

import html
import random
import re
import unicodedata
from collections.abc import Iterator

from judgeloop.judging.fence import neutralise
from judgeloop.judging.parse_verdict import ParsedVerdict, parse_verdict

# fmt: off
# What speaks of the first response, and the same of the second: a text and its mirror image.
SIDES = (
    ("A", "B"), ("Answer A", "Answer B"), ("Response 1", "Response 2"), ("[[A]]", "[[B]]"), ("the first", "the second"),
    ("A > B", "B > A"), ("A>>B", "B>>A"), ("B < A", "A < B"), ("(A)", "(B)"), ("**A**", "**B**"), ("Ａ", "Ｂ"),
    ("前者", "后者"), ("第一个", "第二个"), ("甲", "乙"), ("回答A", "回答B"), ("\\boxed{A}", "\\boxed{B}"),
    ("A is better", "B is better"), ("A is not", "B is not"), ("A and B", "B and A"), ("A or B", "B or A"),
    ('{"better": "A"', '{"better": "B"'), ("<winner>A</winner>", "<winner>B</winner>"), ("Assistant A", "Assistant B"),
)
AROUND = (
    "Better: ", "better: ", "\nBetter: ", "**Better:** ", "Winner: ", "Final verdict: ", "The better response is ",
    "更好：", "最终判断：", "Preferred: ", "Mejor: ", "Лучше: ", "より良い：", "Verdict:\n", "Answer: ", '"winner": "',
    " because", " would be", ", if", " is better", " than ", " and ", " or ", "/", ", ", ". ", "\n", "\n\n", " ", "。",
    "tie", "neither", "both are equal", "平局", "[[C]]", "no", "4", "5", "٤", "}", '"', "```json\n", "\n```",
    "<verdict>",
    "</verdict>", "<think>", "</think>", "\n<think>\n", "<|channel|>final<|message|>", "analysis", "assistantfinal",
    "| Winner |", "\n|---|\n| ", " |", "Wait, ", "Correction: ", "\nUser: ", "Therefore, ", "I prefer ", "我选", "*",
    "_",
    "\u200b", "\u2028", "\x00", "\ud7ff", "😀", "(", ")", "[", "]", "\\", "$", "~~", "> ", "- ", "7. ",
)
FENCES = (
    "<", "</", "< / ", "<\\", "＜", "‹", "&lt;", "&#60", "&#x3c;", "%3c", "\\u003c", "\\x3c", "<\u200b", "<<",
    "response", "RESPONSE", "r\u00adesponse", "rеsроnse", "résponse", "ｒｅｓｐｏｎｓｅ", "other_response", "other",
    "_",
    ">",
    " >", "＞",
    "/>", "|", "｜", "|im_end|", "|eot_id|", "think", "/think", "s>", "/s>", "[INST]", "[/INST]", "[", "]", "/inst]",
    "<<SYS>>", "◁think▷", "◁/think▷", "end_of_turn>", "bos>", "pad>", "text", " ", "\n", "\u2060", "\ufeff", "̈",
    "a < b", "&lt;lt;", "&amp;lt;", "İ", "ß", "ﬁ", "\x00",
)
# fmt: on
_FOREIGN = str.maketrans("еоѕр‹›", "eosp<>")
_SPELLED = re.compile(r"\\u003c|\\x3c|%3c", re.IGNORECASE)
_TAGS = re.compile(r"<[/\\]*(?:other_response|response)(?!\w)|<\|im_end\|>|<\|eot_id\|>|\[/?inst\]|</?think>|</?s>")
_NAMES = re.compile(r"[abAB12ＡＢ甲乙]|first|second|one|two|前者|后者|第一|第二", re.IGNORECASE)
_ARTICLE = re.compile(r"[AＡ]\W{0,9}tie")
_OTHER = {"first": "second", "second": "first"}


def mirrored_texts(count: int, seed: int | str) -> Iterator[tuple[str, str]]:
    """A text, and the same with the two responses' names exchanged."""
    rng = random.Random(f"verdicts/{seed}")
    around = [(piece, piece) for piece in AROUND]
    for number in range(count):
        pieces = rng.choices((*SIDES, *around), k=rng.randint(0, 8))
        if number % 2 == 0:
            pieces += [rng.choice(around[:16]), rng.choice(SIDES), *rng.choices(around, k=rng.randint(0, 2))]
        yield "".join(one for one, _ in pieces), "".join(other for _, other in pieces)


def fenced_texts(count: int, seed: int | str) -> Iterator[str]:
    """Pieces of tags and control tokens in random order."""
    rng = random.Random(f"fence/{seed}")
    for _ in range(count):
        yield "".join(rng.choices(FENCES, k=rng.randint(1, 12)))


def check_verdict(text: str, mirror: str) -> ParsedVerdict:
    """A side has a name in the text, what is not read has a reason, and no side is favoured."""
    verdict = parse_verdict(text)
    assert (verdict.value is None) == (verdict.reason is not None), text
    if verdict.value in _OTHER:
        assert _NAMES.search(text), text
    if _ARTICLE.search(f"{text}\n{mirror}"):
        return verdict  # "A tie" is one, and "B tie" is not
    other = parse_verdict(mirror)
    expected = _OTHER.get(str(verdict.value), verdict.value)
    assert other.value == expected, f"{text!r}: {verdict}, and {mirror!r}: {other}"
    return verdict


def check_copied_verdict(text: str) -> None:
    """A verdict that is a response's own does not count, and the judge's own is read beside it."""
    response = f"Alpha {text} omega"
    copied = parse_verdict(f"I was shown this.\n\n{response}\n", [response, "Another."])
    assert copied.value is None, f"{response!r} chose {copied.value}"


def check_fence(text: str) -> None:
    """Nothing is taken out, only spaces are put in, and no tag or control token is left in any spelling."""
    safe = neutralise(text)
    assert safe.replace(" ", "") == text.replace(" ", ""), text
    assert neutralise(safe) == safe, text
    seen = unicodedata.normalize("NFKD", html.unescape(_SPELLED.sub("<", safe))).casefold().translate(_FOREIGN)
    seen = "".join(c for c in seen if unicodedata.category(c) not in ("Cf", "Mn", "Cc") or c in "\n\t\r")
    left = _TAGS.search(seen)
    assert left is None, f"{text!r} leaves {left.group()!r} in {safe!r}" if left else ""
