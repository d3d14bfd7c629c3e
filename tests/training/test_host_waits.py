"""A step asks the device for nothing: what would wait for it is counted on tensors that stand for those of a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from judgeloop.config import SftSection, TrainSection
from judgeloop.models import tree_attention
from judgeloop.models.chat import Chat
from judgeloop.training import logprobs, trainer
from judgeloop.training.preference import train_preference
from judgeloop.training.sft import train_sft

from .cases import make_pair, make_row

WAITS = {
    getattr(Tensor, name)
    for name in ("item", "tolist", "numpy", "cpu", "nonzero", "masked_select", "__bool__", "__float__", "__int__")
} | {torch.nonzero, torch.masked_select, torch.unique, torch.equal, torch.allclose}
waited: list[str] = []
counting = False


class OnDevice(Tensor):
    """Stands for a tensor on a GPU: what is computed from it is one too."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        index = args[1] if function in (Tensor.__getitem__, Tensor.__setitem__) else ()
        masks = [i for i in (index if isinstance(index, tuple) else (index,)) if isinstance(i, OnDevice)]
        if counting and (function in WAITS or any(mask.dtype == torch.bool for mask in masks)):
            waited.append(str(function))
        return super().__torch_function__(function, types, args, kwargs or {})


def there(value: Tensor, _device: Any) -> Tensor:
    return value.as_subclass(OnDevice)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What waited within training steps, from a micro-batch on the host to its gradients."""
    for module in (logprobs, tree_attention, trainer):
        monkeypatch.setattr(module, "to_device", there)
    original = trainer.ExactLoss.training_step

    def step(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        with counted():
            loss = original(self, *args, **kwargs)
        assert type(loss) is OnDevice  # else nothing was counted
        return loss

    monkeypatch.setattr(trainer.ExactLoss, "training_step", step)
    waited.clear()
    return waited


@contextmanager
def counted() -> Iterator[None]:
    global counting
    counting = True
    try:
        yield
    finally:
        counting = False


def test_what_waits_is_counted() -> None:
    waited.clear()
    value = there(torch.tensor([1.0, 2.0]), None)
    found: tuple[Callable[[], object], ...] = (
        lambda: value.sum().item(), lambda: float(value.sum()), lambda: bool(value.sum() > 1), value.tolist,
        lambda: (value > 1).nonzero(), lambda: value[value > 1], lambda: value.sum().cpu(),
    )  # fmt: skip
    with counted():
        for read in found:
            read()
    assert len(waited) == len(found)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])  # as token trees, and sequence by sequence
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"loss": "cringe"},
        {"loss": "sft_best"},
        {"eft_replay": 0.4, "ld_alpha": 0.5, "nll_weight": 0.5, "micro_batch_size": 1, "gradient_checkpointing": True},
    ],
    ids=["dpo", "cringe", "sft_best", "replay"],
)
def test_a_step_of_preference_training_waits_for_nothing(
    device: list[str], model_folder: Path, tmp_path: Path, chat: Chat, keys: dict[str, Any], attention: str
) -> None:
    metrics: list[dict[str, float]] = []
    train_preference(
        [make_pair(i) for i in range(4)], initial=model_folder, reference=model_folder, output=tmp_path / "model",
        chat=chat, token_ids={}, seed=0, threads=None, eft=[make_row(i, kind="eft") for i in range(3)],
        config=TrainSection(precision="f32", batch_size=2, attention=attention, **keys),
        on_progress=lambda _done, _total: None, on_metrics=metrics.append,
    )  # fmt: skip
    assert len(metrics) == 2
    assert all(type(value) is float for row in metrics for value in row.values())
    assert device == []


@pytest.mark.parametrize(
    "keys", [{}, {"pack_judgements": 3}, {"attention": "eager", "tokens_per_step": 100}], ids=["rows", "packs", "eager"]
)
def test_a_step_of_fine_tuning_waits_for_nothing(
    device: list[str], model_folder: Path, tmp_path: Path, chat: Chat, keys: dict[str, Any]
) -> None:
    metrics: list[dict[str, float]] = []
    train_sft(
        [make_row(i, kind="eft" if i < 4 else "ift") for i in range(6)], initial=model_folder,
        output=tmp_path / "model", chat=chat, seed=0, threads=None,
        config=SftSection(precision="f32", batch_size=2, **keys),
        on_progress=lambda _done, _total: None, on_metrics=metrics.append,
    )  # fmt: skip
    assert len(metrics) > 1
    assert device == []
