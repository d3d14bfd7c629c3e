"""Which segments may serve as a response, and which are dropped for which reason.

Instruction Backtranslation (arXiv 2308.06259, appendix A) drops short and long segments, duplicates, and those with
too many capitals or repeated sentences; here the rules apply to scripts without spaces too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from judgeloop.config import SegmentsSection
from judgeloop.instructions.yield_counts import YieldCounts
from judgeloop.text.tokens import tokens_of

_CONTROL = re.compile(r"<\|[^<>\n]{0,40}\|>|</?s>|\[/?INST\]|<(?:start_of_turn|end_of_turn|bos|eos|pad|unk)>")
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_SHINGLE = 5


@dataclass(frozen=True, slots=True)
class Segment:
    """A text that could be a response. `source` is file and line where it begins, `title` the headings above
    it."""

    id: str
    text: str
    source: str
    title: str = ""


class SegmentRules:
    """Takes segments one by one, keeps those that pass, and counts the others by the first reason that applies."""

    def __init__(self, config: SegmentsSection) -> None:
        self._config = config
        self._texts: set[str] = set()
        self._shingles: dict[int, list[int]] = {}
        self._sizes: list[int] = []
        self.kept: list[Segment] = []
        self.seen = 0
        self.yields = YieldCounts()

    def judge(self, segment: Segment) -> None:
        self.seen += 1
        tokens = tokens_of(segment.text)
        reason = _fault(segment.text, len(tokens), self._config) or self._seen_before(tokens)
        if reason is None:
            self.kept.append(segment)
        else:
            self.yields.drop(reason, {"source": segment.source, "text": segment.text[:200]})

    def _seen_before(self, tokens: Sequence[str]) -> str | None:
        """Whether an earlier kept segment says the same, or shares too many 5-grams with this one, measured by the
        shorter of the two. A segment that passes is remembered."""
        plain = " ".join(tokens)
        if plain in self._texts:
            return "duplicate"
        shingles = {hash(tuple(tokens[i : i + _SHINGLE])) for i in range(max(1, len(tokens) - _SHINGLE + 1))}
        shared = Counter(entry for shingle in shingles for entry in self._shingles.get(shingle, ()))
        for entry, count in shared.items():
            if count > self._config.max_overlap * min(len(shingles), self._sizes[entry]):
                return "near-duplicate"
        self._texts.add(plain)
        for shingle in shingles:
            self._shingles.setdefault(shingle, []).append(len(self._sizes))
        self._sizes.append(len(shingles))
        return None


def _fault(text: str, words: int, config: SegmentsSection) -> str | None:
    """Why a segment cannot stand alone as a response, or None."""
    if _CONTROL.search(text):
        return "has a chat template's control tokens"
    if words < config.min_words:
        return "too short"
    if words > config.max_words:
        return "too long"
    signs = [character for character in text if not character.isspace()]
    letters = [character for character in signs if character.isalpha()]
    if len(letters) < config.min_letters * len(signs):
        return "too few letters"
    if sum(character.isupper() for character in letters) > config.max_capitals * len(letters):
        return "too many capitals"
    sentences = [found.strip().lower() for found in _SENTENCE.findall(text) if len(found.strip()) > 3]
    if len(sentences) >= 4 and len(set(sentences)) < 0.75 * len(sentences):
        return "repeats itself"
    return None
