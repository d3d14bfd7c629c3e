"""What our SFT and DPO trainers share on top of TRL's: exact accumulation, metrics, progress, a stop on NaN."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback

from judgeloop.errors import StageFailed
from judgeloop.models.chat import Chat
from judgeloop.models.host import to_device
from judgeloop.models.tree_attention import tree_attention, tree_limit
from judgeloop.training import collectives, distributed
from judgeloop.training.checkpoints import last_checkpoint
from judgeloop.training.clipping import clip_in_step
from judgeloop.training.frozen_weights import use_kept_weights
from judgeloop.training.fused_layers import fuse_layers
from judgeloop.training.logprobs import HostBatch, add_response_head, length_groups
from judgeloop.training.memory import give_back_freed_memory
from judgeloop.training.order import BlockBatches
from judgeloop.training.sharded_trainer import ShardedTrainer

Progress = Callable[[int, int], None]
Metrics = Callable[[dict[str, float]], None]

BACKWARD_TOKENS = 3072


class ExactLoss(ShardedTrainer, ABC):
    """Mixed into a TRL trainer. A micro-batch's loss is its part of the batch's loss, in the trainer's `units` (rows
    or tokens), so the parts add up to the same whatever the micro-batch size and however short the last one is.

    That lets a micro-batch of long rows be cut further on a CPU: `BACKWARD_TOKENS` bounds what one backward holds
    (about 1 MiB a token for the embedded model), whatever `micro_batch_size` and `max_length` say.
    """

    loss_is_scaled_for_ga = True
    blocks: Sequence[list[int]] | None = None
    """Batches by tokens instead of rows: each goes to the model as one micro-batch, in `parts`."""
    bare_model: Any = None
    tree_limit = 0.0
    """The model inside the trainer's, and how long a sequence may be in its token trees."""
    own_head = False
    """Whether our response head answers TRL's call."""
    _metrics: dict[str, dict[str, list[Any]]]

    @abstractmethod
    def units(self, inputs: dict[str, Tensor]) -> float:
        """How many units the loss of this micro-batch is a mean over."""

    @abstractmethod
    def take(self, inputs: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
        """Some rows (or pairs) of a micro-batch."""

    @abstractmethod
    def lengths(self, inputs: dict[str, Tensor]) -> list[int]:
        """Tokens of each row (or of both sides of each pair), padding left out."""

    def longest(self, inputs: dict[str, Tensor]) -> int:
        """Tokens of the longest sequence that goes with this backward."""
        return int(inputs["attention_mask"].sum(dim=1).max())

    def training_step(self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: float | None = None) -> Tensor:
        if num_items_in_batch is None:
            num_items_in_batch = self.units(inputs)
        loss = collectives.added(self.own_step(model, inputs, num_items_in_batch))
        if self.accelerator.sync_gradients:
            collectives.add_gradients(model)
        return loss

    def _clip_grad_norm(self, model: Any) -> Tensor:
        norm = clip_in_step(model.parameters(), self.optimizer, self.args.max_grad_norm)
        if norm is None:
            norm = super()._clip_grad_norm(model)
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The one place where figures of a step leave the device: all of them at once."""
        kept = self._metrics["train"]
        sums = {name: values[0] for name, values in kept.items()}
        found = torch.stack(list(sums.values())).tolist() if sums else []
        told = collectives.add_numbers(dict(zip(sums, found, strict=True)))
        kept.update({name: [value] for name, value in told.items()})
        super().log(logs, start_time)

    def own_step(self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: float) -> Tensor:
        """Losses and gradients of this process's rows of a micro-batch."""
        loss = torch.zeros((), device=self.accelerator.device)
        all_rows = list(range(len(self.lengths(inputs))))
        for rows in self.parts(inputs):
            # Without rows of its own a process runs one that is weighed as nothing.
            units = num_items_in_batch if rows else math.inf
            # With gradient checkpointing the backward attends too.
            taken = inputs if rows == all_rows else self.take(inputs, rows or [0])
            with tree_attention(self.bare_model) if self.longest(taken) <= self.tree_limit else nullcontext():
                loss += super().training_step(model, taken, units)
        return loss

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """In training a batch stays on the host until the model is called (`answered`): how it is divided and laid out
        is read from it, which must not wait for the device."""
        return inputs

    def on_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch where the model is; the copy does not hold up the host."""
        device = self.accelerator.device
        return {name: to_device(tensor, device) for name, tensor in batch.items()}

    def answered(self, model: Any, batch: dict[str, Tensor], **asked: Any) -> Any:
        """What the model's head says of a batch on the host: `log_probs`, and what else is asked for."""
        if self.own_head:
            asked["host"] = HostBatch(batch)
        return model(**self.on_device(batch), **asked, fused_lm_head=True)

    def require_finite(self) -> None:
        """Raise StageFailed if the loss since the last log line is no finite number; waits for the device."""
        checked(float(self._tr_loss))

    def parts(self, inputs: dict[str, Tensor]) -> list[list[int]]:
        """This process's rows (or pairs) of a micro-batch, as they go through the model together."""
        return self.groups(self.lengths(inputs))

    def groups(self, lengths: list[int]) -> list[list[int]]:
        """Which rows of this process go through the model together: all of them on a GPU, groups of `BACKWARD_TOKENS`
        on a CPU. Where weights are in shards, every process has as many groups as the one with most, the last ones
        empty: all must take part when weights are gathered."""
        found = self._groups_of(distributed.rank(), lengths)
        if distributed.sharded():
            most = max(len(self._groups_of(rank, lengths)) for rank in range(distributed.processes()))
            found += [[]] * (most - len(found))
        return found

    def _groups_of(self, rank: int, lengths: list[int]) -> list[list[int]]:
        mine = distributed.share(lengths, rank)
        if self.accelerator.device.type != "cpu":
            size = len(mine) if self.blocks is None else self.args.per_device_train_batch_size
            return [mine[start : start + size] for start in range(0, len(mine), size)] if mine else []
        return [[mine[i] for i in group] for group in length_groups([lengths[i] for i in mine], BACKWARD_TOKENS)]

    def get_train_dataloader(self) -> DataLoader[Any]:
        with self._batches_on_host():
            return self._train_dataloader()

    @contextmanager
    def _batches_on_host(self) -> Iterator[None]:
        """accelerate's loaders, made within this, do not move batches to the device."""
        before = self.accelerator.device_placement
        self.accelerator.device_placement = False
        try:
            yield
        finally:
            self.accelerator.device_placement = before

    def _train_dataloader(self) -> DataLoader[Any]:
        if self.blocks is None:
            return super().get_train_dataloader()
        order: Any = BlockBatches(self.blocks, self.args.seed)
        rows = self._remove_unused_columns(self.train_dataset, description="training")
        loader = DataLoader(
            rows, batch_sampler=order, collate_fn=self.data_collator, pin_memory=self.args.dataloader_pin_memory
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """transformers' own, and a linear one that warms up and ends as its cosine with a minimum does."""
        if self.args.lr_scheduler_type != "linear":
            return super().create_scheduler(num_training_steps, optimizer)
        factor = partial(
            linear_factor,
            warmup=self.args.get_warmup_steps(num_training_steps),
            steps=num_training_steps,
            floor=self.args.lr_scheduler_kwargs["min_lr_rate"],
        )
        self.lr_scheduler: Any = LambdaLR(optimizer or self.optimizer, factor)
        return self.lr_scheduler

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Tensor]], device: Any) -> float:
        return sum(self.units(inputs) for inputs in batch_samples)

    def _send_telemetry(self) -> None:
        """A run tells nobody about itself."""

    def record(self, values: dict[str, Tensor], share: float) -> None:
        """Add a micro-batch's means, weighted with its share of the batch, to what the next log line says. The sums
        stay on the device, in the precision that Python's numbers have."""
        kept = self._metrics["train"]
        for name, value in values.items():
            part = value.detach().double() * share
            kept[name] = [kept[name][0] + part if name in kept else part]


def linear_factor(step: int, *, warmup: int, steps: int, floor: float) -> float:
    """Share of the peak learning rate at step 0, 1, … of `steps`: up to 1 in `warmup` steps, then down to `floor` at
    the last one."""
    if step < warmup:
        return (step + 1) / warmup
    return 1 - (1 - floor) * min(1.0, (step - warmup + 1) / max(1, steps - warmup))


def checked(loss: float) -> float:
    """The loss, or StageFailed if it is not a finite number."""
    if not math.isfinite(loss):
        raise StageFailed(
            f"the training loss became {loss}; lower the learning rate, or set precision: f32. Nothing was saved"
        )
    return loss


class Reporter(TrainerCallback):
    """Passes progress (steps) and each step's metrics on, and keeps what the summary needs."""

    def __init__(self, on_progress: Progress, on_metrics: Metrics, loss_name: str) -> None:
        self.on_progress = on_progress
        self.on_metrics = on_metrics
        self.loss_name = loss_name
        self.losses: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for logs in state.log_history:  # from before the training was resumed
            self._report(int(logs["step"]), logs)
        self.on_progress(state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.on_progress(state.global_step, state.max_steps)
        give_back_freed_memory(state.global_step)
        if state.global_step >= state.max_steps:
            control.should_save = False  # the model itself is written next

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if logs is not None:
            self._report(state.global_step, logs)

    def _report(self, step: int, logs: dict[str, Any]) -> None:
        if "loss" not in logs:
            return
        values = {name: float(value) for name, value in logs.items() if isinstance(value, (int, float))}
        checked(values["loss"])
        if not math.isfinite(values.get("grad_norm", 0.0)):
            raise StageFailed(
                f"the gradient became {values.get('grad_norm')} at step {step}; lower the learning rate, "
                "or set precision: f32. Nothing was saved"
            )
        self.losses.append(values[self.loss_name])
        self.on_metrics({**values, "step": float(step)})


def use_response_head(trainer: Any, *, needed: bool = False) -> bool:
    """On a CPU, and on a GPU if it is `needed`, let our response head answer TRL's call, and say whether it does;
    otherwise GPUs keep TRL's kernel."""
    if trainer.accelerator.device.type != "cpu" and not needed:
        return False
    models = [model for model in (trainer.model, getattr(trainer, "ref_model", None)) if model is not None]
    bare = [trainer.accelerator.unwrap_model(getattr(m, "get_base_model", lambda m=m: m)()) for m in models]
    found = [add_response_head(model, one_group=distributed.sharded()) for model in bare]
    if trainer.accelerator.device.type == "cpu" and not distributed.sharded():
        for model in bare:
            fuse_layers(model)
            use_kept_weights(model)
    trainer.bare_model, trainer.tree_limit = bare[0], tree_limit(bare[0]) if found[0] else 0.0
    trainer.own_head = all(found)
    return all(found)


def private_tokenizer(chat: Chat) -> Any:
    """A copy for the trainer, which may change its padding token; right padding, as the losses assume."""
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.pad_token_id = chat.pad_id
    tokenizer.padding_side = "right"
    return tokenizer


def fit(trainer: Any, reporter: Reporter, folder: Path) -> None:
    """Train, telling the reporter alone; go on from the last checkpoint in `folder`, if there is one."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(reporter)
    found = last_checkpoint(folder)
    trainer.train(resume_from_checkpoint=None if found is None else str(found))
