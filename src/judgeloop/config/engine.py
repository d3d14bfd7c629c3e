"""What runs the model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from judgeloop.config.section import OptionalPath, Section


class EngineSection(Section):
    """What runs the model for generation and judging."""

    kind: Literal["auto", "openvino", "transformers", "scripted"] = Field(
        "auto", description="auto: openvino on a CPU for the model families it knows, else transformers"
    )
    precision: Literal["default", "f32"] = Field(
        "default", description="default: the engine's fastest (bf16 where the machine has it); f32: full precision"
    )
    cache_gib: float = Field(2.0, gt=0, description="memory for the KV cache; openvino takes whole GiB")
    max_sequences: int = Field(128, gt=0, description="sequences that run at once")
    max_batched_tokens: int = Field(1024, gt=0, description="tokens of one engine step (openvino)")
    batch_tokens: int = Field(6144, gt=0, description="padded tokens of one batch (transformers)")
    script: OptionalPath = Field(None, description="JSONL file of replies for the scripted engine")
