"""Score lines that a judge copied from the response it judges are the response's words, not the judge's.

A small judge often repeats what it was shown. Where the response holds a score line ("Score: 5"), a copy of it in the
judge's text must not be read as the judge's own. The parser itself never sees the response: what is copied is blanked
before it reads.
"""

from __future__ import annotations

import re
import unicodedata

from judgeloop.judging.parse_score import score_spans

_WORD = re.compile(r"\w+")
_INTRODUCES = frozenset(":：\"'“‘「『>`")
_NEAR = 40  # characters on either side in which the neighbouring word is looked for


def blank_copies(text: str, response: str, label: str | None = None, *, cut: bool = False) -> tuple[str, int]:
    """The judge's text with score lines copied from the response overwritten by dots, and how many there were.

    A score line counts as copied where the response holds the same line together with the word before it or the word
    after it, where the judge's text introduces it as a quotation (a colon or an opening quote before it), or where the
    judge's text was `cut` off by length right behind it: then nobody knows whether it was copying.
    """
    spans = score_spans(text, label)
    squeezed = _squeeze(response) if spans else ""
    copies = [span for span in spans if _is_copy(text, *span, squeezed, cut)]
    own = text
    for start, end in copies:  # dots, not spaces: what follows does not begin a line by it
        own = own[:start] + "…" * (end - start) + own[end:]
    return own, len(copies)


def _is_copy(text: str, start: int, end: int, squeezed: str, cut: bool) -> bool:
    if _squeeze(text[start:end]) not in squeezed:
        return False
    before = list(_WORD.finditer(text, max(0, start - _NEAR), start))
    after = _WORD.search(text, end, end + _NEAR)
    return bool(
        text[:start].rstrip()[-1:] in _INTRODUCES
        or (cut and not after)
        or (before and _squeeze(text[before[-1].start() : end]) in squeezed)
        or (after and _squeeze(text[start : after.end()]) in squeezed)
    )


def _squeeze(text: str) -> str:
    """Letters and digits alone, in one case and width: a copy may change spaces, quotes and marks."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(_WORD.findall(plain.replace("_", " ")))
