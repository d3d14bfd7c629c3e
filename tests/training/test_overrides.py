"""Private methods of TRL and transformers that our trainers override: one that is gone is no longer called."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import transformers
import trl
from transformers import Trainer
from trl import DPOTrainer, SFTTrainer
from trl.trainer import dpo_trainer

from judgeloop.training.pair_trainer import PairTrainer
from judgeloop.training.sft import ResponseSFTTrainer
from judgeloop.training.sharded_trainer import ShardedTrainer
from judgeloop.training.trainer import ExactLoss

OVERRIDDEN: list[tuple[type, type, str]] = [
    (DPOTrainer, PairTrainer, "_prepare_dataset"),
    (DPOTrainer, PairTrainer, "_precompute_ref_logps"),
    (Trainer, PairTrainer, "_get_train_sampler"),
    *((base, ExactLoss, "_send_telemetry") for base in (DPOTrainer, SFTTrainer)),
    (Trainer, ExactLoss, "_get_num_items_in_batch"),
    (Trainer, ExactLoss, "_clip_grad_norm"),
    *((base, ExactLoss, "_prepare_inputs") for base in (DPOTrainer, SFTTrainer)),
    (Trainer, ShardedTrainer, "_move_model_to_device"),
    (Trainer, ShardedTrainer, "_get_grad_norm"),
    *((base, ShardedTrainer, "_save_checkpoint") for base in (DPOTrainer, SFTTrainer)),
    (Trainer, ShardedTrainer, "_save_optimizer_and_scheduler"),
    (Trainer, ShardedTrainer, "_load_from_checkpoint"),
    (Trainer, ShardedTrainer, "_load_optimizer_and_scheduler"),
]


def test_the_hash_that_is_left_out_is_there() -> None:
    assert callable(dpo_trainer.hash_module)


@pytest.mark.parametrize(("base", "ours", "name"), OVERRIDDEN)
def test_an_overridden_private_method_is_there_and_takes_what_ours_takes(base: type, ours: type, name: str) -> None:
    versions = f"TRL {trl.__version__}, transformers {transformers.__version__}"
    theirs = getattr(base, name, None)
    assert theirs is not None, f"{versions}: {base.__name__}.{name} is gone, so nothing calls {ours.__name__}.{name}"
    own = inspect.signature(vars(ours)[name])
    try:
        own.bind(*inspect.signature(theirs).parameters)
    except TypeError as error:
        pytest.fail(f"{versions}: {base.__name__}.{name} is called in another way than {ours.__name__}.{name}: {error}")


def test_the_list_above_is_whole() -> None:
    found: set[tuple[type, str]] = set()
    for trainer in (PairTrainer, ResponseSFTTrainer):
        parts = [part for part in trainer.__mro__ if part.__module__.startswith("judgeloop.")]
        bases: list[Any] = [part for part in trainer.__mro__ if part.__module__.startswith(("trl.", "transformers."))]
        for part in parts:
            private = {name for name in vars(part) if name.startswith("_") and not name.startswith("__")}
            found |= {(part, name) for name in private if any(name in vars(base) for base in bases)}
    assert found == {(ours, name) for _, ours, name in OVERRIDDEN}


def test_the_metrics_that_trl_logs_are_where_ours_are_put() -> None:
    for trainer in (DPOTrainer, SFTTrainer):
        assert 'self._metrics = {"train": defaultdict(list)' in inspect.getsource(trainer.__init__), (
            f"TRL {trl.__version__}: {trainer.__name__} keeps its metrics elsewhere than ExactLoss.record"
        )
