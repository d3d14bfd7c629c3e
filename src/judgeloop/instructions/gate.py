"""What a new instruction must pass to be kept: the filters, no evaluation set that contains it, and novelty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from judgeloop.config import PromptsSection
from judgeloop.instructions.contamination import Contamination
from judgeloop.instructions.filters import rejection
from judgeloop.text.similarity import NoveltyPool

NEAR = {
    "seed": "too close to a seed prompt",
    "earlier": "too close to an earlier iteration's prompt",
    "pool": "too close to a prompt already kept",
}
AVOIDED = "evaluation"  # the name of the run's own evaluation among the evaluation sets


class Gate:
    """Filters, contamination and novelty in one place, for every method that makes instructions.

    A new instruction must differ from those of the `seed`, of `earlier` iterations and from all that were admitted.
    None may be part of what is evaluated on: the prompts to `avoid` (the run's own evaluation), and `evaluation_sets`
    by name (prompts.contamination).
    """

    def __init__(
        self,
        config: PromptsSection,
        *,
        seed: Sequence[str] = (),
        earlier: Sequence[str] = (),
        avoid: Sequence[str] = (),
        evaluation_sets: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._config = config
        self._pool = NoveltyPool(config.max_rouge_l)
        for label, texts in (("seed", seed), ("earlier", earlier)):
            for text in texts:
                self._pool.add(text, label)
        sets = {AVOIDED: avoid, **(evaluation_sets or {})}
        self._contamination = Contamination(sets, config.max_rouge_l, seed=seed)

    def refusal(self, text: str, *, has_input: bool = False) -> str | None:
        """Why the text may not be kept, or None; the pool stays as it is. An instruction that comes with an input
        (`has_input`) may announce it."""
        reason = rejection(text, self._config, has_input=has_input)
        if reason is not None:
            return reason
        if (contaminated := self.contamination(text)) is not None:
            return contaminated
        match = self._pool.nearest(text)
        return NEAR[match.label] if match is not None else None

    def contamination(self, text: str) -> str | None:
        """The evaluation set that contains the text, and what shows it, or None. Filters and novelty do not count."""
        found = self._contamination.sign(text)
        if found is None:
            return None
        name, sign = found
        return f"{sign} an evaluation prompt" if name == AVOIDED else f"{sign} evaluation set {name}"

    def admit(self, text: str, *, has_input: bool = False) -> str | None:
        """As `refusal`; a text that passes joins the pool."""
        reason = self.refusal(text, has_input=has_input)
        if reason is None:
            self.add(text)
        return reason

    def add(self, text: str, label: str = "pool") -> None:
        """Put a text into the pool without a check (a row that was kept)."""
        self._pool.add(text, label)

    def account(self) -> dict[str, Any]:
        """What the gate compared with: {"evaluation_sets": {name: {…}}} (`Contamination.account`)."""
        return {"evaluation_sets": self._contamination.account()}
