"""The whole tree."""

from __future__ import annotations

from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationInfo, model_validator

from judgeloop.config.backtranslation import BacktranslationSection
from judgeloop.config.choices import METRICS, TRACKERS
from judgeloop.config.compute import ComputeSection
from judgeloop.config.endpoint import EndpointSection
from judgeloop.config.engine import EngineSection
from judgeloop.config.evaluation import EvaluationSection
from judgeloop.config.instructions import PromptsSection
from judgeloop.config.judging import CandidatesSection, JudgeSection
from judgeloop.config.pairs import PairsSection
from judgeloop.config.report import ReportSection
from judgeloop.config.section import SPEED_ONLY, NameOrPath, OptionalNameOrPath, Paths, Section
from judgeloop.config.seed import SeedSection
from judgeloop.config.stopping import HealthSection, StopSection
from judgeloop.config.tracking import TrackingSection
from judgeloop.config.training import SftSection, TrainSection

Thinking = Literal["auto", "on", "off"]


class Config(Section):
    """A whole run."""

    model: NameOrPath = Field("smollm2-135m-instruct", description="M0: a local folder, a hub id, or an alias")
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    trust_remote_code: bool = Field(False, description="run code that comes with the model")
    chat_template: OptionalNameOrPath = Field(
        None,
        description="null: the model's own; plain (base models of any vocabulary), chatml, chatml+tokens (adds its two "
        "tokens to the vocabulary), or a Jinja file",
    )
    thinking: Thinking = Field(
        "auto",
        description="off: the model answers without thinking first; on: it thinks, and the thought is split off and "
        "never judged; auto: off if the chat template can, else on",
    )
    train_thoughts: bool = Field(
        False, description="preference training also learns the thoughts that came before chosen and rejected answers"
    )
    system_prompt: str | None = Field(None, description="system message before every prompt; null: the template's own")
    seed: int = Field(0, ge=0, description="every random choice derives from it")
    iterations: int = Field(
        2, ge=0, le=1000, description="preference-training iterations after M1 (2 gives M1, M2, M3)"
    )
    out: str | None = Field(None, description="run directory; null: runs/<name of the config file>")
    threads: int | None = Field(None, gt=0, description="CPU threads; null: one for each core that the process may use")
    plugins: Paths = Field(
        (),
        description="Python files that register stages, engines, losses, instruction methods, pair rules or metrics "
        "(docs/architecture.md)",
    )
    report_to: Annotated[tuple[str, ...], TRACKERS, SPEED_ONLY] = Field(
        (),
        description="trackers of the whole run: tensorboard, wandb, mlflow, trackio, or one that a plugin registers "
        "(docs/tracking.md)",
    )
    engine: EngineSection = Field(default_factory=EngineSection)
    seed_data: SeedSection = Field(default_factory=SeedSection)
    backtranslation: BacktranslationSection = Field(default_factory=BacktranslationSection)
    sft: SftSection = Field(default_factory=SftSection)
    prompts: PromptsSection = Field(default_factory=PromptsSection)
    candidates: CandidatesSection = Field(default_factory=CandidatesSection)
    judge: JudgeSection = Field(default_factory=JudgeSection)
    pairs: PairsSection = Field(default_factory=PairsSection)
    train: TrainSection = Field(default_factory=TrainSection)
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection)
    endpoint: EndpointSection = Field(default_factory=EndpointSection)
    compute: ComputeSection = Field(default_factory=ComputeSection)
    report: ReportSection = Field(default_factory=ReportSection)
    tracking: TrackingSection = Field(default_factory=TrackingSection)
    health: HealthSection = Field(default_factory=HealthSection)
    stop: StopSection = Field(default_factory=StopSection)

    @model_validator(mode="after")
    def _sources_are_named(self, info: ValidationInfo) -> Config:
        if self.prompts.source == "file" and not self.prompts.files:
            raise ValueError("prompts.source is 'file' but prompts.files names none")
        if info.context and info.context.get("seedless"):
            return self
        if not self.seed_data.ift and not self.seed_data.ranked and not self.seed_data.eft_files:
            raise ValueError("seed_data names neither ift nor ranked files, so there is nothing to make M1 from")
        return self

    @model_validator(mode="after")
    def _what_decides_is_measured(self) -> Config:
        if self.stop.metric == "checker" and self.evaluation.checker is None:
            raise ValueError("stop.metric: checker needs evaluation.checker; name your file of checks")
        if self.stop.metric == "prompt_blindness" and not self.judge.contrast.measure:
            raise ValueError("stop.metric: prompt_blindness is not measured; set judge.contrast.measure above 0")
        if self.stop.metric in METRICS.added() and self.stop.metric not in self.evaluation.metrics:
            raise ValueError(f"stop.metric: {self.stop.metric} is not measured; add it to evaluation.metrics")
        return self

    @model_validator(mode="after")
    def _the_judge_is_taught_as_it_is_read(self) -> Config:
        """`eft_loss: auto` becomes what it stands for, so that the config written down says it."""
        alone = self.judge.scoring == "expected" and not self.judge.justification
        meant = {"eft_loss": "score" if alone else "all"}
        if self.sft.eft_loss == "auto":
            self.__dict__["sft"] = self.sft.model_copy(update=meant)
        own = self.backtranslation
        if own.sft.eft_loss == "auto":
            self.__dict__["backtranslation"] = own.model_copy(update={"sft": own.sft.model_copy(update=meant)})
        return self

    @model_validator(mode="after")
    def _what_is_written_is_taught(self) -> Config:
        seed = self.seed_data
        taught = seed.eft_files or (seed.ranked and seed.eft_share) or seed.eft.source == "contrast"
        taught = taught or self.judge.refresh.enabled
        if self.judge.scoring == "sampled" and self.sft.eft_loss == "score" and taught:
            raise ValueError(
                "judge.scoring: sampled has the model write its judgements, and sft.eft_loss: score teaches it the "
                "score alone; set sft.eft_loss: all, or judge.scoring: expected"
            )
        return self

    @model_validator(mode="after")
    def _shards_are_of_full_weights(self) -> Config:
        if self.compute.sharding != "none" and "qlora" in (self.sft.method, self.train.method):
            raise ValueError(
                f"compute.sharding: {self.compute.sharding} cannot shard weights of 4 bits (method: qlora); "
                "set method: lora"
            )
        return self

    @model_validator(mode="after")
    def _an_actor_holds_one_engine(self) -> Config:
        compute, vllm = self.compute, self.engine.vllm
        if compute.cluster is None or self.engine.kind not in ("auto", "vllm"):
            return self
        if (vllm.engines or 1) > 1:
            raise ValueError(
                f"engine.vllm.engines: {vllm.engines} engines share one machine's GPUs, and with compute.cluster Ray "
                f"gives each engine its own; set compute.engines: {vllm.engines}, and engine.vllm.engines: null"
            )
        gpus = 1 if compute.gpus_per_engine is None else compute.gpus_per_engine
        if gpus not in (0, vllm.tensor_parallel):
            raise ValueError(
                f"compute.gpus_per_engine: {gpus} and engine.vllm.tensor_parallel: {vllm.tensor_parallel}: an engine "
                "of the cluster spreads its model over all GPUs that it gets; set both to the same number"
            )
        return self

    @model_validator(mode="after")
    def _rounds_are_of_a_judge_loaded_here(self) -> Config:
        if self.judge.max_samples is not None and self.judge.role.startswith("openai:"):
            raise ValueError(
                "judge.max_samples asks again if a pair depends on noise, and a judge behind an endpoint is asked "
                "judge.samples times; set judge.max_samples: null"
            )
        return self

    @model_validator(mode="after")
    def _there_are_other_prompts(self) -> Config:
        section, evaluation = self.judge.contrast, self.evaluation
        fewest = min([self.prompts.count, *self.prompts.later_counts])
        if fewest <= section.others:
            key = "prompts.count" if fewest == self.prompts.count else "prompts.later_counts"
            raise ValueError(
                f"judge.contrast.others: {section.others} other prompts of {fewest} an iteration "
                f"({key}); raise that, or set fewer"
            )
        if evaluation.contrast and not section.others:
            raise ValueError("evaluation.contrast needs judge.contrast.others above 0")
        if evaluation.contrast and evaluation.compare != "scores":
            raise ValueError(
                "evaluation.contrast sets scores against other prompts, and evaluation.compare: pairwise asks which of "
                "two responses is better; set evaluation.compare: scores, or evaluation.contrast: false"
            )
        if evaluation.contrast and evaluation.count <= section.others:
            raise ValueError(
                f"evaluation.contrast: {section.others} other prompts (judge.contrast.others) of {evaluation.count} "
                "(evaluation.count); raise that, or set fewer"
            )
        return self

    @model_validator(mode="after")
    def _consistency_is_of_a_model_with_the_one_before(self) -> Config:
        if self.train.consistency and (self.judge.role != "current" or self.judge.function is not None):
            raise ValueError(
                "train.consistency compares the current model's judgements with those of the model before; set "
                "judge.role: current and no judge.function, or train.consistency: false"
            )
        return self

    def resolved_yaml(self) -> str:
        """The whole tree, defaults included, as YAML that `load` reads back to an equal tree."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
