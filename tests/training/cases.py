"""Rows to train a tiny model on, and its log-probabilities worked out the plain way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import AutoModelForCausalLM

from judgeloop.records import Message, PreferencePair, SupervisedRow
from judgeloop.training import preference, sft
from judgeloop.training.arguments import trainer_arguments

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


SMOOTH_EPSILON = 1e-3


@contextmanager
def smooth_adam() -> Iterator[None]:
    """Inside the block AdamW's step follows the gradient smoothly, so that weights of two computations of one training
    can be compared.

    With its own ε of 1e-8 the first step is the learning rate times the gradient's sign, and rounding, which differs by
    processor, turns the sign of a gradient close to zero. With ε of 1e-3 a rounding error moves a weight by at most the
    error, at the learning rate of 1e-3 that the tests take.
    """

    def arguments(*args: Any, **keys: Any) -> dict[str, Any]:
        return {**trainer_arguments(*args, **keys), "adam_epsilon": SMOOTH_EPSILON}

    with ExitStack() as stack:
        for module in (sft, preference):
            stack.enter_context(mock.patch.object(module, "trainer_arguments", arguments))
        yield


@contextmanager
def first_gradient() -> Iterator[list[torch.Tensor]]:
    """The gradients that the first optimiser step inside the block is given, one tensor for each parameter.

    Two ways of computing one loss are compared by these, and not by the weights after the step (see `smooth_adam`).
    """
    found: list[torch.Tensor] = []

    def note(optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not found:
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            found.extend(torch.zeros_like(p) if p.grad is None else p.grad.detach().clone() for p in parameters)

    handle = register_optimizer_step_pre_hook(note)
    try:
        yield found
    finally:
        handle.remove()


def assert_same_gradient(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], share: float = 1e-4) -> None:
    """Each tensor's difference is at most `share` of the whole gradient's norm, and there is a gradient."""
    assert len(found) == len(expected) > 0
    whole = float(torch.sqrt(sum(((g.double() ** 2).sum() for g in expected), torch.zeros((), dtype=torch.float64))))
    assert whole > 0
    for mine, other in zip(found, expected, strict=True):
        assert float((mine.double() - other.double()).norm()) <= share * whole


def assert_same_change(folder: Path, other: Path, initial: Path) -> None:
    """Two trainings of the model in `initial` changed its weights alike: each tensor's change differs by at most a
    thousandth of the largest change there is."""
    found, expected, before = (load_file(path / "model.safetensors") for path in (folder, other, initial))
    assert found.keys() == expected.keys() == before.keys()
    largest = max(float((expected[name] - before[name]).abs().max()) for name in before)
    assert largest > 1e-5
    for name, tensor in expected.items():
        assert float((found[name] - tensor).abs().max()) <= 1e-3 * largest, name
