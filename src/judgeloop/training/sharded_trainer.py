"""transformers' Trainer on weights in shards that accelerate did not make, which it does not know by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from judgeloop.training import distributed, sharding
from judgeloop.training.shard_checkpoints import holds_parts, read_optimizer, read_weights, write_parts


class ShardedTrainer(Trainer):
    """Sharded if `distributed.sharded()` says so, else as it was. Any number of processes can go on from a checkpoint
    of any other, sharded or not."""

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
        return found.to(found.device_mesh.device_type).full_tensor() if isinstance(found, DTensor) else found

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if distributed.sharded():
            folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            write_parts(self.model, self.optimizer, folder)
        if distributed.is_main():
            super()._save_checkpoint(model, trial)  # its last file is what makes the checkpoint count

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if not distributed.sharded():  # else the parts are there already
            super().save_model(output_dir, _internal_call)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if distributed.sharded():
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)
        else:
            super()._save_optimizer_and_scheduler(output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        if holds_parts(folder):
            read_weights(self.model, folder)
        elif distributed.sharded():
            sharding.load_trained_weights(self.model, folder)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not (distributed.sharded() or holds_parts(Path(checkpoint))):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        folder = Path(checkpoint)
        if holds_parts(folder):
            read_optimizer(self.optimizer, self.model, folder)
        else:
            state = torch.load(folder / OPTIMIZER_NAME, map_location="cpu", weights_only=True, mmap=True)
            sharding.load_optimizer_state(self.optimizer, state)
        self.lr_scheduler.load_state_dict(torch.load(folder / SCHEDULER_NAME, weights_only=True))
