"""vLLM: the engine for GPUs. Token ids go in and come out; each sample is a request of its own, with its own seed.

What the library does otherwise and this file minds: it samples by the model's generation_config.json, stops at its EOS
alone, counts which versions are in use over the network, and computes logits in the model's own precision.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from judgeloop.config import EngineSection
from judgeloop.engines.base import FinishReason, Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.engines.option_reads import OptionReads
from judgeloop.engines.text import cut_at_stop
from judgeloop.engines.vllm_arguments import ENVIRONMENT, arguments, devices, environment
from judgeloop.engines.vllm_steps import Asked, What, last_line, run
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.models.chat import Chat
from judgeloop.models.hardware import has_cuda
from judgeloop.records import derive_seed


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
        self._engines: list[Any] = []

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
        for engine in self._engines:
            engine.engine_core.shutdown()
        self._engines = []
        gc.collect()
        if has_cuda():
            import torch

            torch.cuda.empty_cache()

    def _samples(self, requests: Sequence[Request]) -> Iterator[Asked]:
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

    def _option_reads(self, reads: Sequence[OptionReads]) -> Iterator[Asked]:
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

    def _run(self, asked: Iterator[Asked]) -> Iterator[tuple[What, Any]]:
        # Enough under way that a step is never short of sequences.
        return run(self._load(), asked, 2 * self._section.max_sequences)

    def _generation(self, request: Request, index: int, output: Any) -> Generation:
        ids = tuple(int(token) for token in output.token_ids)
        text, found = cut_at_stop(self._chat.decode(ids), request.sampling.stop_strings)
        reason: FinishReason = "stop" if found or output.finish_reason == "stop" else "length"
        return Generation(request.id, index, ids, text, reason)

    def _require_room(self, name: str, prompt: int, new: int) -> None:
        limit = self._load()[0].vllm_config.model_config.max_model_len
        if prompt + new > limit:
            raise InputError(
                f"engine.vllm.max_model_len: request {name} has {prompt} prompt tokens and may get {new} more, and "
                f"the engine takes {limit} together; raise it (or engine.vllm.memory_share, if memory limits it)"
            )

    def _load(self) -> list[Any]:
        if self._engines:
            return self._engines
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import torch

        cuda = has_cuda()
        shares = devices(self._section.vllm, cuda)
        # Each of several engines computes in a process of its own, which sees its own GPUs. A single one on a CPU
        # computes in this process: another would take longer to start and be no faster.
        apart = {} if cuda else {"VLLM_ENABLE_V1_MULTIPROCESSING": str(int(len(shares) > 1))}
        told = arguments(self._section, self._folder, cuda=cuda, trust_remote_code=self._trust_remote_code)
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        set_num_threads = torch.set_num_threads
        try:
            from vllm import EngineArgs, LLMEngine

            for own in shares:
                with environment({**apart, **own}):
                    self._engines.append(LLMEngine.from_engine_args(EngineArgs(**told)))
        except (ValueError, RuntimeError, KeyError, OSError, ImportError) as error:
            self.close()
            raise JudgeloopError(
                f"{self._folder}: vLLM cannot load it ({last_line(error)}); VLLM_LOGGING_LEVEL=INFO says more; mend "
                "the cause, or set engine.kind: transformers"
            ) from error
        finally:
            torch.set_num_threads = set_num_threads  # which vLLM replaces on a CPU
        return self._engines
