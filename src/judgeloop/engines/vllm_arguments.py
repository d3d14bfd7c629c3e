"""What vLLM is told as it loads a model: its arguments, and the environment of each engine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from judgeloop.config import EngineSection, VllmSection
from judgeloop.errors import InputError
from judgeloop.models.hardware import cpu_has_bf16, cuda_devices

_GPUS = "CUDA_VISIBLE_DEVICES"
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork of a process with threads may hang
}


def arguments(section: EngineSection, folder: Path, *, cuda: bool, trust_remote_code: bool) -> dict[str, Any]:
    """vLLM's EngineArgs for the model in `folder`."""
    own = section.vllm
    if section.precision == "f32":
        dtype = "float32"
    elif cuda:
        dtype = "auto"
    else:
        dtype = "bfloat16" if cpu_has_bf16() else "float32"
    arguments: dict[str, Any] = {
        "model": str(folder),
        "dtype": dtype,
        "hf_overrides": {"head_dtype": "float32"},  # logits, whose differences bfloat16 rounds to eighths
        "logprobs_mode": "raw_logprobs",
        "generation_config": "vllm",
        "enable_prefix_caching": True,
        "max_num_seqs": section.max_sequences,
        "max_model_len": own.max_model_len or -1,  # -1: as much as the model has positions and memory has room for
        "max_num_batched_tokens": own.max_batched_tokens,
        "tensor_parallel_size": own.tensor_parallel,
        "quantization": own.quantization,
        "kv_cache_dtype": own.kv_cache,
        "enforce_eager": not cuda if own.eager is None else own.eager,
        "trust_remote_code": trust_remote_code,
        "disable_log_stats": True,
    }
    if cuda:
        return {**arguments, "gpu_memory_utilization": own.memory_share}
    # A prompt that is read in parts is sampled after each, and the sample is taken back: 0.32 cannot rewind a seeded
    # generator on a CPU, and ends ("CPU Generator does not use offset").
    return {
        **arguments,
        "enable_chunked_prefill": False,
        "kv_cache_memory_bytes": int(section.cache_gib * 2**30),
    }


def devices(own: VllmSection, cuda: bool) -> list[dict[str, str]]:
    """What each engine's environment says of the GPUs it may use."""
    if not cuda:
        return [{}] * (own.engines or 1)
    visible = os.environ.get(_GPUS)
    names = visible.split(",") if visible else [str(number) for number in range(cuda_devices())]
    share = own.tensor_parallel
    count = own.engines or max(1, len(names) // share)
    if count * share > len(names):
        raise InputError(
            f"engine.vllm: {count} engines on {share} GPUs each need {count * share}, and this process sees "
            f"{len(names)}; lower engine.vllm.engines or engine.vllm.tensor_parallel"
        )
    if count == 1:
        return [{}]
    return [{_GPUS: ",".join(names[k * share : (k + 1) * share])} for k in range(count)]


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """The environment with these values, for processes started within; those of the user's own stay."""
    before = dict(os.environ)
    for name, value in values.items():
        if name == _GPUS or name not in before:
            os.environ[name] = value
    try:
        yield
    finally:
        for name in values:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
