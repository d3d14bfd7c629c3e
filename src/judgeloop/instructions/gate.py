"""What a generated instruction must pass to be kept: the filters, then novelty against everything known."""

from __future__ import annotations

from collections.abc import Sequence

from judgeloop.config import PromptsSection
from judgeloop.instructions.filters import rejection
from judgeloop.instructions.novelty import NoveltyPool

NEAR = {
    "seed": "too close to a seed prompt",
    "earlier": "too close to an earlier iteration's prompt",
    "evaluation": "too close to an evaluation prompt",
    "pool": "too close to a prompt already kept",
}


class Gate:
    """Filters and novelty in one place, for every method that makes instructions.

    `seed`, `earlier` (iterations before) and `avoid` (evaluation) are what a new instruction must differ from; what is
    admitted joins them.
    """

    def __init__(
        self,
        config: PromptsSection,
        *,
        seed: Sequence[str] = (),
        earlier: Sequence[str] = (),
        avoid: Sequence[str] = (),
    ) -> None:
        self._config = config
        self._pool = NoveltyPool(config.max_rouge_l)
        for label, texts in (("seed", seed), ("earlier", earlier), ("evaluation", avoid)):
            for text in texts:
                self._pool.add(text, label)

    def refusal(self, text: str) -> str | None:
        """Why the text may not be kept, or None; the pool stays as it is."""
        reason = rejection(text, self._config)
        if reason is not None:
            return reason
        match = self._pool.nearest(text)
        return NEAR[match.label] if match is not None else None

    def admit(self, text: str) -> str | None:
        """As `refusal`; a text that passes joins the pool."""
        reason = self.refusal(text)
        if reason is None:
            self.add(text)
        return reason

    def add(self, text: str, label: str = "pool") -> None:
        """Put a text into the pool without asking (a row kept by an attempt before)."""
        self._pool.add(text, label)
