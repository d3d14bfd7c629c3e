"""Which texts are about the same subject: those that share a rare word.

Likeness in wording finds what was made after the same pattern: of the verifiable track's prompts ("Explain snow to a
child. Start with the word 'Well'."), the nearest one by ROUGE-L has another subject and the same demand. What is rare
among them is the subject.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from judgeloop.text.tokens import rouge_l, tokens_of

_COMMON = 0.1  # a word that a larger share of the texts have is no subject
_FEW = 3  # texts that may have it however few there are in all


def same_subject(texts: Mapping[str, str], max_similarity: float, count: int) -> dict[str, list[str]]:
    """For each text the ids of up to `count` others that share a word with it which few texts have, the rarest word
    first, and of those that share it the least alike in wording first (ROUGE-L F); none that is more alike than
    `max_similarity`. Ties go by id, whatever the texts' order."""
    tokens = {name: tokens_of(text) for name, text in sorted(texts.items())}
    frequency = Counter(word for words in tokens.values() for word in set(words))
    most = max(_FEW, int(_COMMON * len(tokens)))
    holders: dict[str, list[str]] = defaultdict(list)
    for name, words in tokens.items():
        for word in set(words):
            if frequency[word] <= most:
                holders[word].append(name)
    found: dict[str, list[str]] = {}
    for name, words in tokens.items():
        rarest: dict[str, int] = {}
        for word in set(words) & holders.keys():
            for other in holders[word]:
                rarest[other] = min(frequency[word], rarest.get(other, most))
        rarest.pop(name, None)
        near = ((rarest[other], rouge_l(words, tokens[other]), other) for other in rarest)
        found[name] = [other for _, likeness, other in sorted(near) if likeness <= max_similarity][:count]
    return found
