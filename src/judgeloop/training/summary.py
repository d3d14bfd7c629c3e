"""What a training run did, in numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """`rows` were trained on (rows or pairs), `dropped` were not, by reason. `tokens` went through the model over all
    epochs, prompts included; `target_tokens` of them carry loss. `first_loss` is the loss before the first update,
    `last_loss` that of the last step; for preference training both are the preference loss alone, so DPO's first is
    ln 2. `responses_from_text`: responses (of pairs) tokenised from text instead of the ids they were generated with.
    `sequences`: as how many sequences the rows went through the model, if judgements were packed. `replayed`: EFT
    and IFT rows that went beside the pairs, over all steps. `stopped_at`: the step at which the judge ended the
    training, and `why`; `kept_step`: the step whose weights were saved (0: the initial ones); all None without that
    rule.
    """

    rows: int
    dropped: dict[str, int]
    steps: int
    tokens: int
    target_tokens: int
    seconds: float
    first_loss: float
    last_loss: float
    precision: str
    peak_memory_mib: float
    responses_from_text: int = field(default=0)
    replayed: int = field(default=0)
    sequences: int | None = field(default=None)
    stopped_at: int | None = field(default=None)
    kept_step: int | None = field(default=None)
    why: str | None = field(default=None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a JSON file."""
        return dataclasses.asdict(self)
