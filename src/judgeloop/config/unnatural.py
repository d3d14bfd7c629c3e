"""How Unnatural Instructions makes new instructions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from judgeloop.config.section import Section


class UnnaturalSection(Section):
    """Unnatural Instructions (arXiv 2212.09689): examples elicit another one, which is then put in other words."""

    demonstrations: int = Field(3, gt=0, description="examples shown to elicit the next; drawn again for every request")
    shipped_demonstrations: int = Field(
        1, ge=0, description="how many of them are hand-written ones with constraints, which seed tasks lack"
    )
    own_demonstrations: int = Field(0, ge=0, description="how many of them are tasks made before (the paper: none)")
    fields: Literal["together", "one_by_one"] = Field(
        "one_by_one",
        description="one_by_one: instruction, input and constraints are asked for in turn, so that a small model "
        "leaves none out; together: an example is written whole (the paper)",
    )
    examples: int = Field(1, gt=0, description="new examples asked for in one request (fields: together; the paper: 1)")
    novelty: bool = Field(
        True, description="instructions must differ by max_rouge_l from those made before; false: rows must differ"
    )
    outputs: bool = Field(True, description="let the model write each task's output, greedily, and drop what has none")
    brief: bool = Field(
        True,
        description="ask for outputs of a few sentences if a task has no constraints; the rows do not show that it "
        "was asked",
    )
    output_tokens: int = Field(256, gt=0, description="tokens an output may have at most")
    alternatives: int = Field(
        2, ge=0, description="formulations asked for on each instruction, kept on top of prompts.count; 0: none"
    )
    alternative_max_rouge_l: float = Field(
        0.8, gt=0, le=1, description="drop a formulation closer than this to its original or to another one"
    )
    alternative_max_length: float = Field(
        4.0, gt=0, description="drop a formulation longer than this many times its original"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> UnnaturalSection:
        if self.shipped_demonstrations + self.own_demonstrations > self.demonstrations:
            raise ValueError("shipped_demonstrations and own_demonstrations are more than demonstrations")
        if self.fields == "one_by_one" and self.examples > 1:
            raise ValueError("fields: one_by_one makes one example a request; set examples: 1")
        return self
