"""Rows to train a tiny model on, and its log-probabilities worked out the plain way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from judgeloop.records import Message, PreferencePair, SupervisedRow

# PEFT 0.21 asks a transformers model by a name that transformers 5.23 renamed.
PEFT_WARNS = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def make_pair(index: int, chosen: str | None = None, rejected: str | None = None) -> PreferencePair:
    chosen = "the quick brown fox " * (index % 4 + 1) if chosen is None else chosen
    rejected = f"rain and bread {index}" if rejected is None else rejected
    return PreferencePair(
        f"pair-{index}",
        f"p-{index}",
        user(f"Question {index}: what is the capital of France?" + " why" * (index % 3)),
        assistant(chosen),
        assistant(rejected),
        f"c-{index}-best",
        f"c-{index}-worst",
        4.0,
        1.0,
    )


def make_row(index: int, text: str | None = None, kind: str = "ift") -> SupervisedRow:
    text = "the lazy dog " * (index % 5 + 1) if text is None else text
    return SupervisedRow(f"row-{index}", kind, f"p-{index}", user(f"Say {index}."), assistant(text), "test")


def token_logps(folder: Path, prompt: Sequence[int], response: Sequence[int]) -> list[float]:
    """Log-probability of each response token: whole logits, one sequence, no batch, no padding."""
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *response]])).logits[0].double()
    scores = torch.log_softmax(logits, dim=-1)
    return [float(scores[len(prompt) - 1 + i, token]) for i, token in enumerate(response)]
