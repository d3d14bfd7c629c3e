"""SFT and preference training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from judgeloop.config.choices import LOSSES, TRACKERS
from judgeloop.config.section import AS_BEFORE, SPEED_ONLY, Section


class LoraSection(Section):
    """Low-rank adapters instead of full fine-tuning; merged before the next iteration."""

    rank: int = Field(16, gt=0, description="rank of the adapters")
    alpha: int = Field(32, gt=0, description="scale of the adapters")
    dropout: float = Field(0.05, ge=0, lt=1, description="dropout on the adapters' input")
    target_modules: str = Field("all-linear", description="which modules get an adapter")
    keep_adapter: bool = Field(False, description="keep the adapters too, in the folder adapter beside the model")


class TrainingSection(Section):
    """What SFT and preference training share."""

    method: Literal["full", "lora", "qlora"] = Field(
        "full", description="train all weights, low-rank adapters, or adapters beside weights of 4 bits (GPU only)"
    )
    lora: LoraSection = Field(default_factory=LoraSection)
    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate")
    lr_min: float = Field(0.1, ge=0, le=1, description="the learning rate ends at this share of the peak")
    schedule: Literal["cosine", "linear"] = Field(
        "cosine", description="how the learning rate falls after the warm-up; constant: lr_min 1"
    )
    warmup: float = Field(0.1, ge=0, le=1, description="share of the steps that warm up")
    epochs: float = Field(1.0, gt=0, description="passes over the data")
    batch_size: int = Field(16, gt=0, description="sequences (SFT) or pairs (preference training) a step")
    tokens_per_step: int | None = Field(
        None,
        gt=0,
        description="instead of batch_size rows, as many as have at most this many tokens a step (both sides of a "
        "pair, with their prompts); a longer row is a step of its own",
    )
    micro_batch_size: Annotated[int, SPEED_ONLY] = Field(
        8, gt=0, description="sequences or pairs at once; gradients are accumulated"
    )
    max_length: int = Field(
        1024, gt=1, description="tokens of prompt and response; longer rows are dropped and counted"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decay")
    adam_beta2: float = Field(
        0.999, gt=0, lt=1, description="AdamW's β₂; with fewer than some hundred steps a lower one, such as 0.98"
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout inside the model (the paper: 0.1); the reference has none. Overrides what the model's own "
        "config says; with it the first DPO loss is not exactly ln 2",
    )
    freeze_embeddings: bool = Field(
        False, description="leave the token embeddings, and an output head tied to them, as they are (method: full)"
    )
    freeze_layers: Annotated[int, AS_BEFORE] = Field(
        0,
        ge=0,
        description="leave the first so many layers as they are (method: full): with frozen embeddings a backward pass "
        "ends there, which saves time and memory",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    precision: Literal["auto", "bf16", "f32"] = Field(
        "auto", description="auto: bf16 autocast if the machine has it; weights are float32 always"
    )
    save_dtype: Annotated[Literal["f32", "bf16"], AS_BEFORE] = Field(
        "f32", description="how the made model's weights are written: as they were trained, or rounded to half the size"
    )
    checkpoint_steps: Annotated[int | None, SPEED_ONLY] = Field(
        100, gt=0, description="steps between saves of what a killed training resumes from; null: never"
    )
    gradient_checkpointing: Annotated[bool, SPEED_ONLY] = Field(False, description="less memory, more time")
    attention: Annotated[Literal["auto", "eager", "sdpa", "flash_attention_2"], SPEED_ONLY] = Field(
        "auto",
        description="auto: the model's own default, sdpa for most, which lets sequences share a prompt; "
        "flash_attention_2 skips padding (GPU only)",
    )
    kernels: Annotated[Literal["torch", "liger"], SPEED_ONLY] = Field(
        "torch", description="liger: fused norms, rotary embedding and feed-forward layers (GPU only)"
    )
    report_to: Annotated[tuple[str, ...], TRACKERS, SPEED_ONLY] = Field(
        (), description="trackers of this training alone, beside those of the whole run (report_to)"
    )

    @model_validator(mode="after")
    def _adapters_freeze_all_layers(self) -> Self:
        if self.freeze_layers and self.method != "full":
            raise ValueError(f"freeze_layers is for method: full; {self.method} trains none of the layers, leave it 0")
        return self


class SftSection(TrainingSection):
    """M1 = SFT of M0 on IFT and EFT rows, loss on the response's tokens only."""

    weighting: Literal["token", "row"] = Field(
        "row", description="token: every target token counts the same; row: every row does, so short scores are heard"
    )
    eft_loss: Literal["auto", "all", "score"] = Field(
        "auto",
        description="EFT rows: loss on the whole judgement (all), or on the score's own tokens only (score); auto: "
        "score if judge.scoring is expected and judge.justification is false, else all",
    )
    eft_weight: float = Field(
        1.0, gt=0, description="weight of an EFT row's loss against an IFT row's: below 1 if judgements are many"
    )
    pack_judgements: int = Field(
        1,
        gt=0,
        description="up to this many EFT rows about one prompt go through the model as one sequence that shares their "
        "beginning, and count as one of batch_size; if the model's attention allows it",
    )


class CringeSection(Section):
    """Pairwise Cringe (arXiv 2312.16682): likelihood of the chosen response, and on each token of the rejected one a
    contrast with another likely token."""

    pairwise: bool = Field(True, description="gate by how well the pair is told apart; false: plain Cringe")
    gate: Literal["contrast", "pair"] = Field(
        "contrast",
        description="what the gate multiplies: contrast, the rejected response's term alone, so that the chosen one is "
        "imitated always; pair, the whole loss, so that a pair told apart is left alone",
    )
    weight: float = Field(1.0, ge=0, description="α, weight of the rejected response's mean token loss")
    top_k: int = Field(5, gt=0, description="the contrast token is drawn from the k likeliest others")
    bias: float = Field(0.0, description="b: the gate is half open if log π(chosen) − log π(rejected) is this")
    temperature: float = Field(10.0, gt=0, description="τ: how softly the gate closes, in nats")


class EarlyStoppingSection(Section):
    """The paper's rule (arXiv 2401.10020): stop if the judge no longer prefers the newer checkpoint's answers."""

    every: int | None = Field(
        None, gt=0, description="steps between comparisons with the previous checkpoint; null: never stop early"
    )
    prompts: int = Field(
        32, gt=0, description="held-out prompts, none of them evaluated on, that each checkpoint answers"
    )


class TrainSection(TrainingSection):
    """M_{t+1} = preference training of M_t on its pairs, with M_t as the reference."""

    learning_rate: float = Field(1e-6, gt=0, description="peak learning rate")
    loss: Annotated[str, LOSSES] = Field(
        "dpo",
        description="the preference loss: dpo, TRL's other pair losses by their names, cringe (Pairwise Cringe), or "
        "sft_best (imitate the chosen response, no contrast)",
    )
    beta: float = Field(0.1, gt=0, description="β of the pair losses")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="probability that a pair is the wrong way round (dpo, robust, exo_pair)"
    )
    consistency: bool = Field(
        False,
        description="let the model before judge the candidates too, and smooth the labels by how far the two disagree "
        "(CREAM; dpo)",
    )
    ld_alpha: float | None = Field(
        None, ge=0, le=1, description="weight of tokens beyond the shorter response's length (LD-DPO); null: 1"
    )
    nll_weight: float = Field(0.0, ge=0, description="weight of the chosen response's mean token NLL beside the loss")
    nll_share: Annotated[float, AS_BEFORE] = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the pairs whose chosen response nll_weight imitates, those whose chosen responses score "
        "highest; the others are only told apart. The best of four poor answers is no example",
    )
    eft_replay: float = Field(
        0.0, ge=0, lt=1, description="share of EFT rows in every batch, with SFT loss, so that the judge survives"
    )
    eft_weight: float = Field(0.5, gt=0, description="weight of the EFT rows' mean loss")
    ift_replay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of IFT rows in every batch, with SFT loss, so that the seed is not forgotten",
    )
    ift_weight: float = Field(0.5, gt=0, description="weight of the IFT rows' mean loss")
    refresh_replay: Annotated[float, AS_BEFORE] = Field(
        0.2,
        gt=0,
        lt=1,
        description="share of the iteration's own EFT rows in every batch, with SFT loss (judge.refresh.enabled)",
    )
    refresh_weight: Annotated[float, AS_BEFORE] = Field(0.5, gt=0, description="weight of these rows' mean loss")
    solved_replay: Annotated[float, AS_BEFORE] = Field(
        0.0,
        ge=0,
        lt=1,
        description="most that solved prompts may be of every batch, with SFT loss on their best answers, each once an "
        "epoch: those that give no pair though their best answer scores as high as half of the chosen ones, so that "
        "what is done well is not forgotten",
    )
    solved_weight: Annotated[float, AS_BEFORE] = Field(1.0, gt=0, description="weight of these rows' mean loss")
    cringe: CringeSection = Field(default_factory=CringeSection)
    early_stopping: EarlyStoppingSection = Field(default_factory=EarlyStoppingSection)

    @model_validator(mode="after")
    def _modifiers_fit_the_loss(self) -> TrainSection:
        LOSSES[self.loss].check(self)
        return self
