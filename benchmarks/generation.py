"""Tokens per second of the engines: 32 prompts, 4 samples each, at most 128 new tokens, T 0.7, top-p 0.9.

    python benchmarks/generation.py [--engines openvino transformers vllm] [--python vllm=.venv-vllm/bin/python]
                                    [--rounds 1] [--prompts 32] [--samples 4] [--tokens 128] [--threads 2]

Compared: the engines, and transformers' plain `generate` in bfloat16 with the best of a few batch sizes. Each engine is
a process of its own, by the interpreter that --python gives if it is installed in another environment. All are loaded,
then asked in turns, one at a time, and each turn is printed as it ends; a ratio is one of neighbours in a round, for
the machine may be busy with other things too. For the same reason tokens are also set beside the processor time that
they took, of all threads. Goal on a 2-core CPU: openvino at least 3 times plain `generate`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from judgeloop.config import EngineSection
from judgeloop.engines import open_engine
from judgeloop.engines.base import Engine, Request, Sampling
from judgeloop.engines.batch import left_padded
from judgeloop.jsonl import write_text_atomically
from judgeloop.models.chat import Chat
from judgeloop.models.resolve import resolve

FORMS = (
    "Briefly describe {}.",
    "Explain to a child why people like {}.",
    "Write a short story about {}.",
    "Give three tips on {}.",
)
TOPICS = ("the Moon", "baking bread", "rain", "old maps", "learning a language", "bicycles", "bees", "chess")


RESULT = "result: "


def workload(chat: Chat, count: int) -> list[tuple[int, ...]]:
    """The prompts, at most 32, as token ids."""
    texts = [form.format(topic) for topic in TOPICS for form in FORMS][:count]
    return [tuple(chat.prompt_ids([{"role": "user", "content": text}])) for text in texts]


def sampling_of(options: argparse.Namespace) -> Sampling:
    return Sampling(max_new_tokens=options.tokens, temperature=0.7, top_p=0.9)


def answer(kind: str, options: argparse.Namespace, folder: Path, chat: Chat) -> None:
    """The process of one engine of ours: load it, then generate for each seed on stdin and say how it went."""
    with tempfile.TemporaryDirectory() as work:
        section = EngineSection.model_validate({"kind": kind})
        engine = open_engine(section, folder, chat, work_dir=Path(work), threads=options.threads, seed=0)
        prompts, sampling = workload(chat, options.prompts), sampling_of(options)
        warm = [Request("warm", prompts[0], Sampling(2))]  # loading is not part of the figure
        assert len(list(engine.generate(warm))) == 1
        print(f"{RESULT}{{}}", flush=True)
        for line in sys.stdin:
            requests = [Request(str(k), ids, sampling, options.samples, int(line) + k) for k, ids in enumerate(prompts)]
            print(RESULT + json.dumps(timed(partial(generated, engine, requests))), flush=True)
        engine.close()


def generated(engine: Engine, requests: Sequence[Request]) -> int:
    return sum(len(generation.token_ids) for generation in engine.generate(requests))


def timed(generate: Callable[[], int]) -> tuple[int, float, float]:
    """Tokens generated, seconds by the clock, and seconds of processor time of this process with all its threads."""
    clock, processor = time.perf_counter(), time.process_time()
    tokens = generate()
    return tokens, time.perf_counter() - clock, time.process_time() - processor


class Asked:
    """An engine in a process of its own."""

    def __init__(self, python: str, kind: str, folder: Path, options: argparse.Namespace) -> None:
        command = [python, __file__, "--answer", kind, "--model", str(folder), "--threads", str(options.threads)]
        command += [
            "--prompts",
            str(options.prompts),
            "--samples",
            str(options.samples),
            "--tokens",
            str(options.tokens),
        ]
        source = str(Path(__file__).resolve().parents[1] / "src")
        environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": str(options.threads)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._next()

    def run(self, seed: int) -> tuple[int, float, float]:
        """What `timed` gives of its process."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seed}\n")
        self._process.stdin.flush()
        tokens, seconds, processor = self._next()
        return tokens, seconds, processor

    def close(self) -> None:
        self._process.communicate()

    def _next(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(RESULT):
                return json.loads(line.removeprefix(RESULT))
        raise SystemExit(f"an engine ended ({self._process.wait()})")


def with_generate(model: Any, chat: Chat, sequences: int, options: argparse.Namespace) -> Callable[[int], int]:
    """Plain `generate` in static batches of `sequences` sequences."""

    def run(seed: int) -> int:
        torch.manual_seed(seed)
        prompts = workload(chat, options.prompts)
        size = max(1, sequences // options.samples)
        return sum(_generate(model, chat, prompts[k : k + size], options) for k in range(0, len(prompts), size))

    return run


def _generate(model: Any, chat: Chat, prompts: Sequence[tuple[int, ...]], options: argparse.Namespace) -> int:
    ids, mask = left_padded(prompts, chat.pad_id, "cpu")
    sampling = sampling_of(options)
    output = model.generate(
        ids,
        attention_mask=mask,
        do_sample=True,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=0,
        num_return_sequences=options.samples,
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=list(chat.end_ids),
        pad_token_id=chat.pad_id,
    )
    tokens = 0
    for row in output[:, ids.shape[1] :].tolist():
        ends = [place for place, token in enumerate(row) if token in chat.end_ids]
        tokens += ends[0] + 1 if ends else len(row)
    return tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each engine; the median counts")
    parser.add_argument("--engines", nargs="+", default=["openvino", "transformers"])
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=FILE", help="its interpreter")
    parser.add_argument("--batches", type=int, nargs="*", default=[32, 64, 128], help="batch sizes of plain generate")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--answer", metavar="ENGINE", help="be the process of an engine")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    folder = resolve(options.model).path
    chat = Chat.load(folder)
    if options.answer:
        answer(options.answer, options, folder, chat)
        return
    rows: list[dict[str, Any]] = []
    turns: dict[str, list[tuple[int, float, float]]] = {}

    def note(name: str, turn: tuple[int, float, float]) -> None:
        turns.setdefault(name, []).append(turn)
        print(f"  {name}: {turn[0]} tokens, {turn[1]:.1f} s, {turn[2]:.1f} s of processor time", flush=True)

    def told(name: str) -> list[float]:
        rates = [tokens / seconds for tokens, seconds, _ in turns[name]]
        costs = [tokens / processor for tokens, _, processor in turns[name]]
        speed, cost, tokens = statistics.median(rates), statistics.median(costs), turns[name][-1][0]
        row = {"run": name, "tokens": tokens, "tokens_per_second": speed, "rates": rates}
        rows.append({**row, "tokens_per_processor_second": cost, "processor_rates": costs})
        print(
            f"{name:<34}{tokens:>8} tokens{speed:>9.0f} tok/s ({min(rates):.0f} to {max(rates):.0f})"
            f"{cost:>9.0f} a second of processor time ({min(costs):.0f} to {max(costs):.0f})",
            flush=True,
        )
        return rates

    pythons = dict(given.split("=", 1) for given in options.python)
    for kind, python in pythons.items():
        if shutil.which(python) is None:
            parser.error(f"--python {kind}={python}: is no program; give the python of the environment with {kind}")
    engines = {kind: Asked(pythons.get(kind, sys.executable), kind, folder, options) for kind in options.engines}
    for number in range(options.rounds):
        for kind, engine in engines.items():
            note(f"{kind} engine", engine.run(1000 * number))
    rates: dict[str, list[float]] = {}
    for kind, engine in engines.items():
        engine.close()
        rates[kind] = told(f"{kind} engine")
    first, *others = engines
    in_turns = {kind: [a / b for a, b in zip(rates[kind], rates[first], strict=True)] for kind in others}
    for kind, found in in_turns.items():
        print(f"{kind}: {statistics.median(found):.2f} times {first} ({min(found):.2f} to {max(found):.2f})")
    ratios: dict[str, float] = {}
    if options.batches:
        torch.set_num_threads(options.threads)
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.bfloat16)
        for sequences in options.batches:
            generate, name = with_generate(model, chat, sequences, options), f"generate bf16, {sequences} sequences"
            for number in range(options.rounds):
                note(name, timed(partial(generate, 1000 * number)))
            told(name)
        plain = max(row["tokens_per_second"] for row in rows[len(engines) :])
        ratios = {row["run"]: row["tokens_per_second"] / plain for row in rows[: len(engines)]}
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f} times plain generate at its best batch")
    if options.out:
        result = {"model": options.model, "runs": rows, "in_turns": in_turns, "times_plain_generate": ratios}
        write_text_atomically(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
