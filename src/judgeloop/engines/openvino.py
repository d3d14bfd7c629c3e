"""The CPU engine: OpenVINO GenAI's continuous batching with prefix caching, fed with a GGUF file of our own.

What the library does not say and this file minds: samples of one request come back sorted by likelihood, requests
that found no room in the KV cache come back as "ignored", and rope scaling in a GGUF file is not applied.
"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from judgeloop.config import EngineSection
from judgeloop.engines.base import Engine, FinishReason, Generation, OptionLogprobs, OptionRequest, Request, Sampling
from judgeloop.engines.text import common_prefix, cut_at_stop
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.jsonl import make_folder, write_text_atomically
from judgeloop.models.chat import Chat
from judgeloop.models.contents import content_hash, file_hash
from judgeloop.models.convert import locked
from judgeloop.models.facts import read_config
from judgeloop.models.gguf_export import rope, write_gguf
from judgeloop.models.gguf_export import supports as gguf_supports
from judgeloop.models.hardware import cores
from judgeloop.records import derive_seed

_BLOCK = 32  # tokens; the cache shares blocks of as many
_WORTH_READING_FIRST = 2 * _BLOCK
_GGUF_FORMAT = 1  # counts up when `write_gguf` writes the same weights differently


def supports(folder: Path) -> str | None:
    """None where this engine can run the model in `folder`, else the reason why not."""
    reason = gguf_supports(folder)
    if reason is None and rope(read_config(folder))["rope_type"] != "default":
        return "OpenVINO GenAI does not apply rope scaling to a GGUF model"
    return reason


def gguf_for(folder: Path, work_dir: Path) -> Path:
    """The float16 GGUF of this folder's weights in `work_dir`, written where it is not there yet.

    The file is named after the folder's content hash, so other weights never meet an old file. Its own hash is beside
    it: one that was changed or cut off since is written anew. Of several processes that ask at once, one writes it.
    """
    path = work_dir / f"{content_hash(folder)[:16]}-f16-v{_GGUF_FORMAT}.gguf"
    seal = path.with_suffix(".sha256")
    make_folder(work_dir)
    with locked(path.with_suffix(".lock")):
        if not (path.is_file() and seal.is_file() and seal.read_text(encoding="ascii") == file_hash(path)):
            write_gguf(folder, path)
            write_text_atomically(seal, file_hash(path))
    return path


class OpenVinoEngine:
    """One model in OpenVINO GenAI. Its pipeline is built at the first generation: judging alone never pays for it."""

    name = "openvino"

    def __init__(
        self,
        section: EngineSection,
        folder: Path,
        chat: Chat,
        *,
        work_dir: Path,
        threads: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        reason = supports(folder)
        if reason is not None:
            raise InputError(f"engine.kind: openvino cannot run {folder}: {reason}; set it to transformers")
        self._section = section
        self._folder = folder
        self._chat = chat
        self._work_dir = work_dir
        self._threads = threads
        self._trust_remote_code = trust_remote_code
        self._pipeline: Any = None
        self._scorer: Engine | None = None
        self._next_id = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield every sample of every request, a request's samples together, as each request finishes.

        Raises InputError where a single request does not fit into the KV cache.
        """
        waiting = iter(requests)
        running: dict[int, tuple[Request, Any]] = {}
        unfit: list[Request] = []  # found the cache full: tried again alone, once the others are done
        in_flight = 2 * self._section.max_sequences  # enough that a step is never short of sequences
        samples = 0
        pipeline: Any = self._load() if requests else None
        self._read_common_prefix(pipeline, requests)
        try:
            while True:
                while samples < in_flight and (request := next(waiting, None)) is not None:
                    running[self._next_id] = (request, self._add(pipeline, request))
                    samples += request.n
                if not running:
                    break
                pipeline.step()
                for key in [key for key, (_, handle) in running.items() if _ended(handle)]:
                    request, handle = running.pop(key)
                    samples -= request.n
                    if _ignored(handle):
                        unfit.append(request)
                    else:
                        yield from self._generations(request, handle)
            for request in unfit:
                handle = self._add(pipeline, request)
                while not _ended(handle):
                    pipeline.step()
                if _ignored(handle):
                    raise InputError(
                        f"engine.cache_gib: request {request.id} ({len(request.prompt_ids)} prompt tokens, {request.n} "
                        f"samples of up to {request.sampling.max_new_tokens}) does not fit into "
                        f"{self._section.cache_gib:g} GiB; raise it"
                    )
                yield from self._generations(request, handle)
        finally:  # the caller may stop listening before the end
            for _, handle in running.values():
                handle.cancel()
            while running and pipeline.has_non_finished_requests():
                pipeline.step()

    def _read_common_prefix(self, pipeline: Any, requests: Sequence[Request]) -> None:
        """Compute what all prompts start with (a rubric, demonstrations) before they are added.

        The library looks a prompt up in its prefix cache when the request is added, so requests that are added together
        would each compute it.
        """
        lead = common_prefix([request.prompt_ids for request in requests])
        # Whole blocks only: OpenVINO 2026.4 generates other tokens after a cached block that is not full.
        lead = lead[: len(lead) // _BLOCK * _BLOCK]
        if len(lead) < _WORTH_READING_FIRST:
            return
        handle = self._add(pipeline, Request("", lead, Sampling(1)))
        while not _ended(handle):
            pipeline.step()

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        """Yield one result for every request; from the transformers engine on the same folder, loaded when asked for,
        since OpenVINO GenAI gives no probabilities but those of the tokens it chose."""
        if not requests:
            return
        if self._scorer is None:
            from judgeloop.engines.transformers import TransformersEngine

            self._scorer = TransformersEngine(
                self._section,
                self._folder,
                self._chat,
                threads=self._threads,
                trust_remote_code=self._trust_remote_code,
            )
        yield from self._scorer.option_logprobs(requests)

    def close(self) -> None:
        """Give back the memory. Calling it twice is fine."""
        self._pipeline = None
        if self._scorer is not None:
            self._scorer.close()
            self._scorer = None
        gc.collect()

    def _load(self) -> Any:
        if self._pipeline is None:
            import openvino_genai

            scheduler = openvino_genai.SchedulerConfig()
            scheduler.cache_size = max(1, round(self._section.cache_gib))
            scheduler.max_num_seqs = self._section.max_sequences
            scheduler.max_num_batched_tokens = self._section.max_batched_tokens
            scheduler.enable_prefix_caching = True
            scheduler.dynamic_split_fuse = True
            properties: dict[str, Any] = {}
            usable = cores()
            threads = self._threads or (usable if usable < (os.cpu_count() or 1) else None)
            if self._section.precision == "f32":
                properties |= {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
            elif 1 in (threads, usable) or os.environ.get("OMP_NUM_THREADS") == "1":
                # In bfloat16 on a single thread OpenVINO 2026.4 divides by zero, which ends the process.
                properties["INFERENCE_PRECISION_HINT"] = "f32"
            if threads is not None:
                properties["INFERENCE_NUM_THREADS"] = threads
            path = gguf_for(self._folder, self._work_dir)
            try:
                self._pipeline = openvino_genai.ContinuousBatchingPipeline(str(path), scheduler, "CPU", properties)
            except RuntimeError as error:
                first = str(error).strip().splitlines()[-1]
                raise JudgeloopError(
                    f"{path}: OpenVINO cannot load it ({first}); set engine.kind: transformers"
                ) from error
        return self._pipeline

    def _add(self, pipeline: Any, request: Request) -> Any:
        import openvino
        import openvino_genai

        sampling = request.sampling
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = sampling.max_new_tokens
        config.eos_token_id = self._chat.end_ids[0]
        config.stop_token_ids = set(self._chat.end_ids)
        if sampling.stop_strings:
            config.stop_strings = set(sampling.stop_strings)
            config.include_stop_str_in_output = True  # otherwise tokens that were generated go missing
        if sampling.temperature > 0:
            config.do_sample = True
            config.temperature = sampling.temperature
            config.top_p = sampling.top_p
            if sampling.top_k:
                config.top_k = sampling.top_k
            config.num_return_sequences = request.n
            config.rng_seed = request.seed
        ids = openvino.Tensor(np.array([request.prompt_ids], dtype=np.int64))
        self._next_id += 1
        return pipeline.add_request(self._next_id - 1, ids, config)

    def _generations(self, request: Request, handle: Any) -> Iterator[Generation]:
        outputs = list(handle.read_all())
        if request.sampling.temperature == 0:
            outputs *= request.n
        # Outputs come sorted by likelihood; index k must be just any sample, so they are put in an order by seed.
        random.Random(derive_seed(request.seed, "order")).shuffle(outputs)
        # A sample whose first token is a stop string of white space may be left out of them.
        for index in range(len(outputs), request.n):
            yield Generation(request.id, index, (), "", "stop")
        for index, output in enumerate(outputs):
            ids = tuple(int(i) for i in output.generated_ids)
            text, found = cut_at_stop(self._chat.decode(ids), request.sampling.stop_strings)
            stopped = found or output.finish_reason.name == "STOP"
            reason: FinishReason = "stop" if stopped else "length"
            yield Generation(request.id, index, ids, text, reason)


def _ended(handle: Any) -> bool:
    return bool(handle.get_status().name != "RUNNING")


def _ignored(handle: Any) -> bool:
    return bool(handle.get_status().name == "IGNORED")
