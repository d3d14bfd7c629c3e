"""SFT and preference training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from judgeloop.config.section import Section


class LoraSection(Section):
    """Low-rank adapters instead of full fine-tuning; merged before the next iteration."""

    rank: int = Field(16, gt=0, description="rank of the adapters")
    alpha: int = Field(32, gt=0, description="scale of the adapters")
    dropout: float = Field(0.05, ge=0, lt=1, description="dropout on the adapters' input")
    target_modules: str = Field("all-linear", description="which modules get an adapter")


class TrainingSection(Section):
    """What SFT and preference training share."""

    method: Literal["full", "lora"] = Field("full", description="train all weights, or low-rank adapters")
    lora: LoraSection = Field(default_factory=LoraSection)
    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate")
    lr_min: float = Field(0.1, ge=0, le=1, description="the cosine ends at this share of the peak")
    warmup: float = Field(0.1, ge=0, le=1, description="share of the steps that warm up")
    epochs: float = Field(1.0, gt=0, description="passes over the data")
    batch_size: int = Field(16, gt=0, description="sequences (SFT) or pairs (preference training) a step")
    micro_batch_size: int = Field(8, gt=0, description="sequences or pairs at once; gradients are accumulated")
    max_length: int = Field(
        1024, gt=1, description="tokens of prompt and response; longer rows are dropped and counted"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decay")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    precision: Literal["auto", "bf16", "f32"] = Field(
        "auto", description="auto: bf16 autocast where the machine has it"
    )
    gradient_checkpointing: bool = Field(False, description="less memory, more time")
    report_to: tuple[str, ...] = Field((), description="trackers: tensorboard, wandb, mlflow, trackio")


class SftSection(TrainingSection):
    """M1 = SFT of M0 on IFT and EFT rows, loss on the response's tokens only."""

    weighting: Literal["token", "row"] = Field(
        "row", description="token: every target token counts the same; row: every row does, so short scores are heard"
    )


class TrainSection(TrainingSection):
    """M_{t+1} = preference training of M_t on its pairs, with M_t as the reference."""

    learning_rate: float = Field(1e-6, gt=0, description="peak learning rate")
    loss: Literal["dpo"] = Field("dpo", description="the preference loss")
    beta: float = Field(0.1, gt=0, description="DPO's β")
    nll_weight: float = Field(0.0, ge=0, description="weight of the chosen response's mean token NLL beside the loss")
