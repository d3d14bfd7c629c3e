"""transformers' Trainer on weights in shards that accelerate did not make, which it does not know by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from judgeloop.training import distributed, sharding


class ShardedTrainer(Trainer):
    """Sharded if `distributed.sharded()` says so, else as it was. Checkpoints are those of one process: every
    process helps to bring them together, rank 0 writes."""

    _whole: tuple[Any, Any] | None = None  # weights and optimiser state, while a checkpoint is written

    def shard(self) -> None:
        """Keep a part of the weights only; to be called when TRL has made the model ready and read it once."""
        if distributed.sharded():
            for model in (self.model, getattr(self, "ref_model", None)):
                if model is not None:
                    sharding.shard(model, bf16=self.args.bf16)

    def _move_model_to_device(self, model: Any, device: Any) -> None:
        if not distributed.sharded():  # else only a part of it goes there
            super()._move_model_to_device(model, device)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        found = super()._get_grad_norm(model, grad_norm)
        return found.full_tensor() if isinstance(found, DTensor) else found

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if distributed.sharded():
            self._whole = sharding.trained_weights(self.model), sharding.whole(self.optimizer.state_dict())
        if distributed.is_main():
            super()._save_checkpoint(model, trial)
        self._whole = None

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict if self._whole is None else self._whole[0])

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self._whole is None:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        torch.save(self._whole[1], Path(output_dir) / OPTIMIZER_NAME)
        torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if distributed.sharded():
            sharding.load_trained_weights(self.model, Path(resume_from_checkpoint))
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not distributed.sharded():
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        state = torch.load(Path(checkpoint) / OPTIMIZER_NAME, map_location="cpu", weights_only=True)
        sharding.load_optimizer_state(self.optimizer, state)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))
