from pathlib import Path

import pytest
import torch
from trl import DPOConfig

from judgeloop.config import TrainSection
from judgeloop.training.arguments import choose_precision, micro_batch_size, trainer_arguments


@pytest.mark.parametrize(("batch", "micro", "expected"), [(16, 8, 8), (4, 8, 4), (6, 4, 3), (7, 4, 1)])
def test_micro_batches_divide_the_batch(batch: int, micro: int, expected: int) -> None:
    assert micro_batch_size(TrainSection(batch_size=batch, micro_batch_size=micro)) == expected


def test_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert choose_precision("auto") == "f32"
    assert choose_precision("bf16") == "bf16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": True})
    assert choose_precision("auto") == "bf16"
    assert choose_precision("f32") == "f32"


def arguments(config: TrainSection, tmp_path: Path) -> DPOConfig:
    values = trainer_arguments(config, stage="dpo", seed=3, precision="f32", scratch=tmp_path / "s")
    return DPOConfig(**values)


def test_the_schedule_warms_up_and_ends_at_the_floor(tmp_path: Path) -> None:
    from transformers import get_scheduler

    made = arguments(TrainSection(learning_rate=1.0, warmup=0.2, lr_min=0.1), tmp_path)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_scheduler(made.lr_scheduler_type, optimizer, made.get_warmup_steps(10), 10, made.lr_scheduler_kwargs)
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:2] == pytest.approx([0.5, 1.0])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)


def test_checkpoints_are_kept_every_so_many_steps_or_never(tmp_path: Path) -> None:
    assert arguments(TrainSection(checkpoint_steps=7), tmp_path).save_steps == 7
    assert arguments(TrainSection(checkpoint_steps=7), tmp_path).save_strategy == "steps"
    assert arguments(TrainSection(checkpoint_steps=None), tmp_path).save_strategy == "no"


def test_trl_defaults_that_cost_or_hide_are_off(tmp_path: Path) -> None:
    made = arguments(TrainSection(), tmp_path)
    assert (made.gradient_checkpointing, made.bf16, made.logging_nan_inf_filter) == (False, False, False)
    assert (made.max_length, made.save_total_limit, made.report_to) == (None, 1, [])
    assert arguments(TrainSection(gradient_checkpointing=True), tmp_path).gradient_checkpointing is True
