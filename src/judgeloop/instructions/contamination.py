"""Contamination: a new prompt that is part of an evaluation set, or near it, would be trained on and measured by.

Two signs, each for each evaluation set: a run of tokens in common (8 words; 13 characters if a text is mostly
Chinese, Japanese, Korean or of another unspaced script), and a ROUGE-L F above a threshold with one of its prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from judgeloop.text.similarity import NoveltyPool
from judgeloop.text.tokens import by_characters, tokens_of

WORDS = 8
CHARACTERS = 13


class Contamination:
    """Evaluation sets by name, each the texts of its prompts.

    `seed`: prompts of the seed. A run of tokens that is in the seed too is a phrase of the data ("answer in
    exactly three bullet points that …") and no sign; how many seed prompts share one is in the account.
    """

    def __init__(self, sets: Mapping[str, Sequence[str]], max_rouge_l: float, *, seed: Sequence[str] = ()) -> None:
        self._pool = NoveltyPool(max_rouge_l)
        runs: dict[str, str] = {}
        for name, texts in sets.items():
            for text in texts:
                self._pool.add(text, name)
                for run in _runs(tokens_of(text), WORDS, CHARACTERS):
                    runs.setdefault(run, name)
        self._account = {
            name: {"prompts": len(texts), "seed_prompts_that_share_a_run": 0} for name, texts in sets.items()
        }
        known: set[str] = set()
        for text in seed:
            tokens = tokens_of(text)
            for name in {runs[run] for run in _runs(tokens, _run_length(tokens)) if run in runs}:
                self._account[name]["seed_prompts_that_share_a_run"] += 1
            known.update(run for run in _runs(tokens, WORDS, CHARACTERS) if run in runs)
        self._runs = {run: name for run, name in runs.items() if run not in known}

    def sign(self, text: str) -> tuple[str, str] | None:
        """(name of the set, sign in words) of the first that the text shows, or None: "shares 8 words in a row with",
        "shares 13 characters in a row with", "too close to"."""
        tokens = tokens_of(text)
        length = _run_length(tokens)
        name = next((self._runs[run] for run in _runs(tokens, length) if run in self._runs), None)
        if name is not None:
            return name, f"shares {length} {'words' if length == WORDS else 'characters'} in a row with"
        match = self._pool.nearest(text)
        return None if match is None else (match.label, "too close to")

    def account(self) -> dict[str, dict[str, int]]:
        """Of each set: {"prompts", "seed_prompts_that_share_a_run"}."""
        return self._account


def _run_length(tokens: Sequence[str]) -> int:
    return CHARACTERS if by_characters(tokens) else WORDS


def _runs(tokens: Sequence[str], *lengths: int) -> Iterator[str]:
    for length in lengths:
        for i in range(len(tokens) - length + 1):
            yield " ".join(tokens[i : i + length])
