"""How varied prompts are, for two sets of them side by side: the seed's and those that were generated.

Self-Instruct (arXiv 2212.10560, figure 3) shows the spread of root verb and object, which takes a parser. Without one
two plainer spreads are given, under their own names: the word that a prompt begins with, and the content words in it.
Distinct-n is that of Li et al. (arXiv 1510.03055): different n-grams over all n-grams. It falls with the size of a set,
as does the distance to the nearest other prompt, so both sets are cut to the same number of prompts first.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from judgeloop.records import derive_seed
from judgeloop.text.language import ENGLISH_WORDS, language_of
from judgeloop.text.tokens import by_characters, tokens_of

COMPARED = 500  # prompts of each set that are compared
NEIGHBOURS = 200  # of these, how many are compared with all others
_SHOWN = 10
LENGTHS = (1, 5, 10, 15, 20, 30, 50, 100)  # lower ends of the histogram's bins, in tokens; the last has no upper end
# Words without a topic, on top of those that frame English questions and orders (language.py).
_WITHOUT_TOPIC = """
about all also am any because been before between both but d don down during each either else few first following
given had has have he her here him his if into its itself just let like ll m make many may more most much must my no
nor now off once one only other our out over own please re s same several she so some such t than their them then
there they through too two under until up us use used using ve very want was we were while who whose will without yet
"""
_NO_TOPIC = ENGLISH_WORDS | frozenset(_WITHOUT_TOPIC.split())
_NO_TOPIC_CHARACTERS = frozenset(
    "的了是在和有我你您他她它们这那个么吗呢吧啊把被让给从到以之与及或者并也都就还很不没要会能可请一为什怎如何些种"
)


def diversity(seed_prompts: Sequence[str], generated: Sequence[str], seed: int) -> dict[str, Any]:
    """{"compared": n, "bins": lower ends, "seed": figures, "generated": figures}, plain values.

    Of each set, over all of its prompts: `prompts`; `tokens` (words; characters in unspaced scripts: mean, median,
    p10, p90) and `characters` (mean); `lengths`, prompts in each of the `bins` of tokens;
    `languages`, the share of each. Over `n` prompts drawn from each (seeded): `distinct`, distinct-1 to -3;
    `openings` and `content_words`: {"different", "effective": the exponential of the entropy, as many equally
    frequent ones would be as varied, "top": [[word, share of prompts], …]} (pairs of characters in unspaced scripts);
    `nearest`, the mean ROUGE-L F of a prompt with the nearest other one of the n, over at most `NEIGHBOURS` prompts;
    and of the generated ones `nearest_seed`, the mean with the nearest of the seed's n. What has no value is None.
    """
    count = min(len(seed_prompts), len(generated), COMPARED) or min(max(len(seed_prompts), len(generated)), COMPARED)
    drawn = {
        name: random.Random(derive_seed(seed, "diversity", name)).sample(list(texts), min(count, len(texts)))
        for name, texts in (("seed", seed_prompts), ("generated", generated))
    }
    tokens = {name: [tokens_of(text) for text in texts] for name, texts in drawn.items()}
    figures = {
        name: {**_all_figures(texts), **_drawn_figures(tokens[name])}
        for name, texts in (("seed", seed_prompts), ("generated", generated))
    }
    figures["generated"]["nearest_seed"] = _nearest(tokens["generated"], tokens["seed"], itself=False)
    return {"compared": count, "bins": list(LENGTHS), **figures}


def _all_figures(texts: Sequence[str]) -> dict[str, Any]:
    sizes = [len(tokens_of(text)) for text in texts]
    bins = np.bincount(np.searchsorted(LENGTHS, sizes, side="right") - 1, minlength=len(LENGTHS)) if sizes else ()
    languages = Counter(language_of(text) for text in texts)
    return {
        "prompts": len(texts),
        "tokens": {
            "mean": round(float(np.mean(sizes)), 2),
            "median": round(float(np.median(sizes)), 1),
            "p10": round(float(np.percentile(sizes, 10)), 1),
            "p90": round(float(np.percentile(sizes, 90)), 1),
        }
        if sizes
        else None,
        "characters": round(sum(map(len, texts)) / len(texts), 2) if texts else None,
        "lengths": [int(n) for n in bins],
        "languages": {name: round(n / len(texts), 4) for name, n in languages.most_common()},
    }


def _drawn_figures(texts: Sequence[list[str]]) -> dict[str, Any]:
    return {
        "distinct": [_distinct(texts, n) for n in (1, 2, 3)],
        "openings": _spread([[_opening(tokens)] for tokens in texts if tokens]),
        "content_words": _spread([sorted(set(_content(tokens))) for tokens in texts if tokens]),
        "nearest": _nearest(texts, texts, itself=True),
    }


def _distinct(texts: Sequence[list[str]], n: int) -> float | None:
    grams = [tuple(tokens[i : i + n]) for tokens in texts for i in range(len(tokens) - n + 1)]
    return round(len(set(grams)) / len(grams), 4) if grams else None


def _opening(tokens: Sequence[str]) -> str:
    return "".join(tokens[:2]) if by_characters(tokens[:2]) else tokens[0]


def _content(tokens: Sequence[str]) -> Iterable[str]:
    """Words that may be a topic; pairs of neighbouring characters in unspaced scripts."""
    if by_characters(tokens):
        return (
            a + b
            for a, b in pairwise(tokens)
            if len(a) == len(b) == 1 and not _NO_TOPIC_CHARACTERS & {a, b} and not (a + b).isascii()
        )
    return (token for token in tokens if token not in _NO_TOPIC and not token.isdigit())


def _spread(found: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Of words by prompt: how many differ, how many there effectively are, the most frequent."""
    counts = Counter(word for words in found for word in words)
    total = counts.total()
    entropy = -sum(n / total * math.log(n / total) for n in counts.values())
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    return {
        "different": len(counts),
        "effective": round(math.exp(entropy), 2) if counts else None,
        "top": [[word, round(n / len(found), 4)] for word, n in top],
    }


def _nearest(texts: Sequence[list[str]], others: Sequence[list[str]], *, itself: bool) -> float | None:
    """Mean ROUGE-L F with the nearest of `others`. `itself`: they are the texts themselves, and text i is not
    compared with place i."""
    from rapidfuzz import process
    from rapidfuzz.distance import Indel

    texts = texts[:NEIGHBOURS]
    if not texts or len(others) < 1 + itself:
        return None
    # 1 - Indel distance/(m+n) is 2·LCS/(m+n).
    scores = process.cdist(texts, others, scorer=Indel.normalized_similarity, dtype=np.float64)
    if itself:
        np.fill_diagonal(scores, 0)
    return round(float(scores.max(axis=1).mean()), 4)
