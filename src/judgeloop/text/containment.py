"""Texts that contain other texts whole, word for word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from judgeloop.text.tokens import by_characters, tokens_of

WORDS = 8
CHARACTERS = 13  # in scripts written without spaces


def run_length(tokens: Sequence[str]) -> int:
    """How many tokens in a row are a sign that one text is taken from another."""
    return CHARACTERS if by_characters(tokens) else WORDS


def runs(tokens: Sequence[str], *lengths: int) -> Iterator[str]:
    """Every run of so many tokens in a row."""
    for length in lengths:
        for i in range(len(tokens) - length + 1):
            yield " ".join(tokens[i : i + length])


class WholeTexts:
    """Texts of at least 8 words (13 characters), each with a label, and whether another text contains one whole."""

    def __init__(self) -> None:
        self._by_beginning: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def add(self, text: str, label: str) -> None:
        """Add a text; shorter ones are left aside, for they are found in many texts by chance."""
        tokens = tokens_of(text)
        beginning = next(runs(tokens, run_length(tokens)), None)
        if beginning is not None:
            self._by_beginning[beginning].append((f" {' '.join(tokens)} ", label))

    def inside(self, text: str) -> str | None:
        """The label of a text that this one contains, or None."""
        tokens = tokens_of(text)
        whole = f" {' '.join(tokens)} "
        for run in runs(tokens, WORDS, CHARACTERS):
            for contained, label in self._by_beginning.get(run, ()):
                if contained in whole:
                    return label
        return None
