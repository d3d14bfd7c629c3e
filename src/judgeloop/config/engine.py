"""What runs the model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from judgeloop.config.choices import ENGINES
from judgeloop.config.section import AS_BEFORE, SPEED_ONLY, OptionalPath, Section


class VllmSection(Section):
    """How vLLM runs the model. The KV cache: `memory_share` on a GPU, `engine.cache_gib` on a CPU."""

    tensor_parallel: Annotated[int, SPEED_ONLY] = Field(
        1, gt=0, description="GPUs that one engine spreads the model over, for models too large for one"
    )
    engines: Annotated[int | None, SPEED_ONLY] = Field(
        None,
        gt=0,
        description="engines that share the rows, each on `tensor_parallel` GPUs of its own; none: as many as the "
        "machine's GPUs are enough for, one on a CPU",
    )
    memory_share: Annotated[float, SPEED_ONLY] = Field(
        0.9, gt=0, le=1, description="share of a GPU's memory for weights and KV cache together"
    )
    max_model_len: Annotated[int | None, SPEED_ONLY] = Field(
        None, gt=0, description="tokens of prompt and answer together; none: as many as the model and the memory allow"
    )
    max_batched_tokens: Annotated[int | None, SPEED_ONLY] = Field(
        None, gt=0, description="tokens of one engine step; none: vLLM's own choice"
    )
    eager: Annotated[bool | None, SPEED_ONLY] = Field(
        None, description="true: no compilation and no CUDA graphs, ready sooner and slower; none: true on a CPU"
    )
    quantization: Annotated[str | None, AS_BEFORE] = Field(
        None, description="how weights are rounded as they are loaded, by vLLM's names: fp8, bitsandbytes, …; none: not"
    )
    kv_cache: Annotated[Literal["auto", "fp8"], AS_BEFORE] = Field(
        "auto", description="fp8: a KV cache of half the size, less exact; auto: in the model's precision"
    )


class ServerSection(Section):
    """A running `vllm serve` that engine.kind: server asks. It reads adapters from the same paths as judgeloop."""

    url: Annotated[str | None, SPEED_ONLY] = Field(None, description="the server's address, such as http://gpu1:8000")
    key_variable: Annotated[str, SPEED_ONLY] = Field(
        "VLLM_API_KEY", description="environment variable that holds the server's API key, if it wants one"
    )
    concurrency: Annotated[int, SPEED_ONLY] = Field(64, gt=0, description="requests under way at once")
    timeout: Annotated[float, SPEED_ONLY] = Field(
        600.0, gt=0, description="seconds without an answer after which a request is tried again"
    )
    attempts: Annotated[int, SPEED_ONLY] = Field(6, gt=0, description="tries of a request that meets a failing server")


class EngineSection(Section):
    """What runs the model for generation and judging."""

    kind: Annotated[str, ENGINES] = Field(
        "auto",
        description="auto: vllm on a GPU if it is installed, openvino on a CPU for the model families it knows, else "
        "transformers",
    )
    precision: Literal["default", "f32"] = Field(
        "default", description="default: the engine's fastest (bf16 where the machine has it); f32: full precision"
    )
    cache_gib: Annotated[float, SPEED_ONLY] = Field(
        2.0, gt=0, description="memory for the KV cache (vllm: on a CPU); openvino takes whole GiB"
    )
    max_sequences: Annotated[int, SPEED_ONLY] = Field(128, gt=0, description="sequences that run at once")
    max_batched_tokens: Annotated[int, SPEED_ONLY] = Field(
        1024, gt=0, description="tokens of one engine step (openvino)"
    )
    batch_tokens: Annotated[int, SPEED_ONLY] = Field(
        6144, gt=0, description="padded tokens of one batch (transformers)"
    )
    script: OptionalPath = Field(None, description="JSONL file of replies for the scripted engine")
    vllm: VllmSection = Field(default_factory=VllmSection)
    server: ServerSection = Field(default_factory=ServerSection)
