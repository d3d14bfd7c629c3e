"""How Self-Instruct makes new instructions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from judgeloop.config.section import SamplingSection, Section


class InstanceSamplingSection(SamplingSection):
    """How inputs and outputs are sampled."""

    max_new_tokens: int = Field(256, gt=0, description="tokens an output may have at most; an input half of that")


class SelfInstructSection(Section):
    """Self-Instruct (arXiv 2212.10560): a list of instructions is continued, then each gets inputs and outputs."""

    new_tasks: int = Field(8, gt=0, description="instructions asked for in one request, after the demonstrations")
    inputs: bool = Field(
        True,
        description="false: show and keep only instructions that need no input, for prompters too small to write "
        "inputs that fit",
    )
    classification: bool = Field(
        True, description="tell classification tasks apart; their instances begin with the label (output-first)"
    )
    instances: Literal["answered", "listed"] = Field(
        "answered",
        description="answered: an input only if the instruction speaks of one, then the model's own answer (small "
        "chat models); listed: the model continues a text of inputs and outputs (the paper)",
    )
    demonstrations: int = Field(
        5,
        gt=0,
        description="tasks shown before inputs or instances are written, and of each kind before classification",
    )
    max_instances: int = Field(1, gt=0, description="instances kept of one instruction at most; each is a prompt")
    outputs: bool = Field(
        True,
        description="let the model write outputs and drop what has none; false: prompts only (instances: answered)",
    )
    brief: bool = Field(
        True,
        description="ask for outputs of a few sentences; the rows do not show that it was asked (instances: answered)",
    )
    output_attempts: int = Field(
        2, gt=0, description="times an output is asked for before its instance is dropped (instances: answered)"
    )
    sampling: InstanceSamplingSection = Field(default_factory=InstanceSamplingSection)

    @model_validator(mode="after")
    def _parts_fit(self) -> SelfInstructSection:
        if self.instances == "listed" and not (self.inputs and self.outputs):
            raise ValueError("instances: listed writes inputs and outputs in one text; set inputs and outputs to true")
        return self
