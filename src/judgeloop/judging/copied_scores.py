"""Scores that a judge copied from the response it judges are the response's words, not the judge's.

A small judge often repeats what it was shown. If the response contains a score in any form, a copy of it in the judge's
text must not be read as the judge's own. The parser itself never sees the response: copies are blanked before it reads.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from judgeloop.judging.parse_score import score_spans
from judgeloop.text.thoughts import MARKS

_WORD = re.compile(r"\w+")
_INTRODUCES = frozenset(":：\"'“‘「『>`")
_BRACKETS = " \t\n\r{[(<|*_#$\\.。…"  # what a form begins with, after the mark that introduces a quotation
_CLOSERS = " \t}])>|*_#$.。"
_KEY_BEGINS = re.compile(r'[{,]\s*"$')  # of JSON
_FENCE = "```"  # around a whole answer: no quotation
_ENDS = tuple("\"'”’」』`")  # what a quotation ends with, after the brackets that a form ends with
_NEAR = 40  # characters on either side in which the neighbouring word is looked for
_ESCAPE = re.compile(r"\\[nrt]")  # a line break in a JSON string
_ROUNDS = 4  # a blanked score may uncover another: a line in a JSON object that no longer is one


def blank_copies(
    text: str, response: str, label: str | None = None, form: str | None = None, *, cut: bool = False
) -> tuple[str, int]:
    """The judge's text with scores copied from the response overwritten by dots, and how many there were.

    A score counts as copied if the response contains the same together with the word before it or the word after it, if
    the judge's text gives it as a quotation (a colon or an opening quote before it, or a closing quote after it), or if
    the judge's text was `cut` off by length right after it: then nobody knows whether it was copying. Marks of a
    thought are blanked if the response contains them together with the word before: a response does not end its judge's
    thought.
    """
    count = 0
    # As it was before anything is blanked, for dots are no neighbours: as it is, and as a JSON string is read.
    versions = {text, _ESCAPE.sub("  ", text)}
    for _ in range(_ROUNDS):
        spans = score_spans(text, label, form)
        marks = [mark.span() for mark in MARKS.finditer(text)]
        if not spans:
            break
        copies = [span for span in spans if any(is_copy(seen, *span, response, cut) for seen in versions)]
        marks = [span for span in marks if text[slice(*span)].casefold() in response.casefold()]
        ended = [m for m in marks if any(is_copy(seen, *m, response, cut=False, after=False) for seen in versions)]
        if not copies and not ended:
            break
        count += len(copies)
        text = _dotted(text, [*copies, *ended])
    return text, count


def _dotted(text: str, spans: list[tuple[int, int]]) -> str:
    """Dots, not spaces: what follows does not begin a line by it."""
    characters = list(text)
    for start, end in spans:
        characters[start:end] = "…" * (end - start)
    return "".join(characters)


def is_copy(text: str, start: int, end: int, response: str, cut: bool, *, after: bool = True) -> bool:
    """Whether the judge's text has from the response what is at `start` to `end`."""
    own, squeezed = _squeeze(text[start:end]), _squeeze(response)
    if own not in squeezed:
        return False
    if own.isdigit() and "".join(text[start:end].split()) not in "".join(response.split()):
        return False  # "[[4]]" is no copy of any 4
    if own == squeezed or (own.isdigit() and own == _squeeze(text)):
        return own == squeezed
    before = list(_WORD.finditer(text, max(0, start - _NEAR), start))
    following = _WORD.search(text, end, end + _NEAR)
    lead, tail = text[max(0, start - _NEAR) : start].rstrip(_BRACKETS), text[end : end + _NEAR].lstrip(_CLOSERS)
    return bool(
        (lead[-1:] in _INTRODUCES and not lead.endswith(_FENCE) and not _KEY_BEGINS.search(lead))
        or (tail.startswith(_ENDS) and not tail.startswith(_FENCE))
        or (cut and not following)
        or (before and _squeeze(text[before[-1].start() : end]) in squeezed)
        or (after and following and _squeeze(text[start : following.end()]) in squeezed)
    )


@lru_cache(maxsize=64)
def _squeeze(text: str) -> str:
    """Letters and digits alone, in one case and width: a copy may change spaces, quotes and marks."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(_WORD.findall(plain.replace("_", " ")))
