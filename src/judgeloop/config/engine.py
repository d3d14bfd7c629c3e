"""What runs the model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from judgeloop.config.choices import ENGINES
from judgeloop.config.section import SPEED_ONLY, OptionalPath, Section


class EngineSection(Section):
    """What runs the model for generation and judging."""

    kind: Annotated[str, ENGINES] = Field(
        "auto", description="auto: openvino on a CPU for the model families it knows, else transformers"
    )
    precision: Literal["default", "f32"] = Field(
        "default", description="default: the engine's fastest (bf16 where the machine has it); f32: full precision"
    )
    cache_gib: Annotated[float, SPEED_ONLY] = Field(
        2.0, gt=0, description="memory for the KV cache; openvino takes whole GiB"
    )
    max_sequences: Annotated[int, SPEED_ONLY] = Field(128, gt=0, description="sequences that run at once")
    max_batched_tokens: Annotated[int, SPEED_ONLY] = Field(
        1024, gt=0, description="tokens of one engine step (openvino)"
    )
    batch_tokens: Annotated[int, SPEED_ONLY] = Field(
        6144, gt=0, description="padded tokens of one batch (transformers)"
    )
    script: OptionalPath = Field(None, description="JSONL file of replies for the scripted engine")
