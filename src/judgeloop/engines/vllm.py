"""vLLM: the engine for GPUs. Token ids go in and come out; each sample is a request of its own, with its own seed.

What the library does otherwise and this file minds: it samples by the model's generation_config.json, stops at its EOS
alone, counts which versions are in use over the network, and computes logits in the model's own precision.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from judgeloop.config import EngineSection
from judgeloop.engines.base import FinishReason, Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.engines.option_reads import OptionReads
from judgeloop.engines.text import cut_at_stop
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.models.chat import Chat
from judgeloop.models.hardware import cpu_has_bf16, has_cuda
from judgeloop.records import derive_seed

_Asked = tuple[tuple[int, ...], tuple[int, ...], Any]  # what it is, prompt, SamplingParams
_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork of a process with threads may hang
}


class VllmEngine:
    """One model in vLLM, on CUDA if there is one, else on the CPU. It is loaded when it is first asked."""

    name = "vllm"

    def __init__(
        self,
        section: EngineSection,
        folder: Path,
        chat: Chat,
        *,
        threads: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self._section = section
        self._folder = folder
        self._chat = chat
        self._threads = threads
        self._trust_remote_code = trust_remote_code
        self._engine: Any = None
        self._asked = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield every sample of every request, a request's samples together, as each request finishes.

        Raises InputError if a request is longer than the engine takes.
        """
        if not requests:
            return
        longest = max(requests, key=lambda request: len(request.prompt_ids) + request.sampling.max_new_tokens)
        self._require_room(longest.id, len(longest.prompt_ids), longest.sampling.max_new_tokens)
        done: dict[int, dict[int, Any]] = {}
        for (place, index), output in self._run(self._samples(requests)):
            request = requests[place]
            outputs = done.setdefault(place, {})
            outputs[index] = output
            if request.sampling.temperature == 0:
                outputs |= dict.fromkeys(range(request.n), output)
            if len(outputs) == request.n:
                del done[place]
                yield from (self._generation(request, k, outputs[k]) for k in range(request.n))

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        """Yield one result for every request: logits before temperature, filters and masks, in float32. An option of
        several tokens is read one token at a time, each after those before it; the prompt comes from the prefix cache.

        Raises InputError where an option or a prompt is empty, or longer than the engine takes.
        """
        reads = [OptionReads(request) for request in requests]
        if reads:
            longest = max(reads, key=lambda one: one.longest)
            self._require_room(longest.request.id, longest.longest, 1)
        for (place, number), output in self._run(self._option_reads(reads)) if reads else ():
            read = reads[place].reads[number]
            result = reads[place].give(read, [output.logprobs[0][token].logprob for token in read.tokens])
            if result is not None:
                yield result

    def close(self) -> None:
        """Give back the memory. Calling it twice is fine."""
        if self._engine is not None:
            self._engine.engine_core.shutdown()
            self._engine = None
            gc.collect()
            if has_cuda():
                import torch

                torch.cuda.empty_cache()

    def _samples(self, requests: Sequence[Request]) -> Iterator[_Asked]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        for place, request in enumerate(requests):
            sampling = request.sampling
            greedy = sampling.temperature == 0
            for index in range(1 if greedy else request.n):
                params = SamplingParams(
                    max_tokens=sampling.max_new_tokens,
                    temperature=sampling.temperature,
                    top_p=1.0 if greedy else sampling.top_p,
                    top_k=0 if greedy else sampling.top_k,
                    seed=None if greedy else derive_seed(request.seed, "sample", index),
                    stop=list(sampling.stop_strings),
                    include_stop_str_in_output=True,  # otherwise tokens that were generated go missing
                    stop_token_ids=list(self._chat.end_ids),
                    ignore_eos=True,  # those of the chat template stop it
                    detokenize=bool(sampling.stop_strings),
                    output_kind=RequestOutputKind.FINAL_ONLY,
                )
                yield (place, index), request.prompt_ids, params

    def _option_reads(self, reads: Sequence[OptionReads]) -> Iterator[_Asked]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        for place, one in enumerate(reads):
            for number, read in enumerate(one.reads):
                params = SamplingParams(
                    max_tokens=1,
                    temperature=0.0,
                    logprob_token_ids=list(read.tokens),
                    detokenize=False,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                )
                yield (place, number), one.request.prompt_ids + read.run, params

    def _run(self, asked: Iterable[_Asked]) -> Iterator[tuple[tuple[int, ...], Any]]:
        """What each request gives, as it finishes. Those under way are given up if the caller stops listening."""
        engine = self._load()
        from vllm.inputs import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        waiting = iter(asked)
        running: dict[str, tuple[int, ...]] = {}
        at_once = 2 * self._section.max_sequences  # enough that a step is never short of sequences
        try:
            while True:
                while len(running) < at_once and (one := next(waiting, None)) is not None:
                    what, ids, params = one
                    self._asked += 1
                    running[str(self._asked)] = what
                    engine.add_request(str(self._asked), tokens_input(list(ids)), params)
                if not running:
                    return
                try:
                    results = engine.step()
                except (RuntimeError, EngineDeadError) as error:
                    last = (str(error).strip() or type(error).__name__).splitlines()[-1]
                    raise JudgeloopError(f"{self._folder}: vLLM fails as it generates ({last})") from error
                for result in results:
                    if result.finished:
                        (output,) = result.outputs
                        if output.finish_reason not in ("stop", "length"):
                            raise JudgeloopError(f"{self._folder}: vLLM gave up a request ({output.finish_reason})")
                        yield running.pop(result.request_id), output
        finally:
            if running:
                engine.abort_request(list(running))

    def _generation(self, request: Request, index: int, output: Any) -> Generation:
        ids = tuple(int(token) for token in output.token_ids)
        text, found = cut_at_stop(self._chat.decode(ids), request.sampling.stop_strings)
        reason: FinishReason = "stop" if found or output.finish_reason == "stop" else "length"
        return Generation(request.id, index, ids, text, reason)

    def _require_room(self, name: str, prompt: int, new: int) -> None:
        limit = self._load().vllm_config.model_config.max_model_len
        if prompt + new > limit:
            raise InputError(
                f"engine.vllm.max_model_len: request {name} has {prompt} prompt tokens and may get {new} more, and "
                f"the engine takes {limit} together; raise it (or engine.vllm.memory_share, if memory limits it)"
            )

    def _load(self) -> Any:
        if self._engine is None:
            for name, value in _ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            cuda = has_cuda()
            if not cuda:  # in this process: a process of its own costs its start and does not compute faster
                os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            import torch

            if self._threads is not None:
                torch.set_num_threads(self._threads)
            set_num_threads = torch.set_num_threads
            try:
                from vllm import EngineArgs, LLMEngine

                self._engine = LLMEngine.from_engine_args(EngineArgs(**self._arguments(cuda)))
            except (ValueError, RuntimeError, KeyError, OSError, ImportError) as error:
                last = (str(error).strip() or type(error).__name__).splitlines()[-1]
                raise JudgeloopError(
                    f"{self._folder}: vLLM cannot load it ({last}); VLLM_LOGGING_LEVEL=INFO says more; mend the cause, "
                    "or set engine.kind: transformers"
                ) from error
            finally:
                torch.set_num_threads = set_num_threads  # which vLLM replaces on a CPU
        return self._engine

    def _arguments(self, cuda: bool) -> dict[str, Any]:
        section, own = self._section, self._section.vllm
        if section.precision == "f32":
            dtype = "float32"
        elif cuda:
            dtype = "auto"
        else:
            dtype = "bfloat16" if cpu_has_bf16() else "float32"
        arguments: dict[str, Any] = {
            "model": str(self._folder),
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
            "trust_remote_code": self._trust_remote_code,
            "disable_log_stats": True,
        }
        if cuda:
            return {**arguments, "gpu_memory_utilization": own.memory_share}
        return {**arguments, "kv_cache_memory_bytes": int(section.cache_gib * 2**30)}
