"""Contamination: a new prompt that is part of an evaluation set, or near it, would be trained on and measured by.

Two signs, each for each evaluation set: a run of tokens in common (8 words; 13 characters if a text is mostly
Chinese, Japanese, Korean or of another unspaced script), and a ROUGE-L F above a threshold with one of its prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from judgeloop.text.containment import CHARACTERS, WORDS, WholeTexts, run_length, runs
from judgeloop.text.similarity import NoveltyPool
from judgeloop.text.tokens import tokens_of


class Contamination:
    """Evaluation sets by name, each the texts of its prompts.

    `seed`: prompts of the seed. A run of tokens that is in the seed too is a phrase of the data ("answer in
    exactly three bullet points that …") and no sign; how many seed prompts share one is in the account. A seed prompt
    that is an evaluation prompt, is near one or contains one exempts nothing: it is a leak, and counted as one.
    """

    def __init__(self, sets: Mapping[str, Sequence[str]], max_rouge_l: float, *, seed: Sequence[str] = ()) -> None:
        self._pool = NoveltyPool(max_rouge_l)
        found: dict[str, str] = {}
        whole = WholeTexts()
        for name, texts in sets.items():
            for text in texts:
                self._pool.add(text, name)
                whole.add(text, name)
                for run in runs(tokens_of(text), WORDS, CHARACTERS):
                    found.setdefault(run, name)
        self._account = {
            name: {"prompts": len(texts), "seed_prompts_that_share_a_run": 0, "seed_prompts_in_it": 0}
            for name, texts in sets.items()
        }
        known: set[str] = set()
        for text in seed:
            tokens = tokens_of(text)
            for name in {found[run] for run in runs(tokens, run_length(tokens)) if run in found}:
                self._account[name]["seed_prompts_that_share_a_run"] += 1
            near = self._pool.nearest(text)
            leak = near.label if near is not None else whole.inside(text)
            if leak is not None:
                self._account[leak]["seed_prompts_in_it"] += 1
            else:
                known.update(run for run in runs(tokens, WORDS, CHARACTERS) if run in found)
        self._runs = {run: name for run, name in found.items() if run not in known}

    def sign(self, text: str) -> tuple[str, str] | None:
        """(name of the set, sign in words) of the first that the text shows, or None: "shares 8 words in a row with",
        "shares 13 characters in a row with", "too close to"."""
        tokens = tokens_of(text)
        length = run_length(tokens)
        name = next((self._runs[run] for run in runs(tokens, length) if run in self._runs), None)
        if name is not None:
            return name, f"shares {length} {'words' if length == WORDS else 'characters'} in a row with"
        match = self._pool.nearest(text)
        return None if match is None else (match.label, "too close to")

    def account(self) -> dict[str, dict[str, int]]:
        """Of each set: {"prompts", "seed_prompts_that_share_a_run", "seed_prompts_in_it"}."""
        return self._account
