"""Tokens per second of the engines: 32 prompts, 4 samples each, at most 128 new tokens, T 0.7, top-p 0.9.

    python benchmarks/generation.py [--engines openvino transformers] [--python vllm=.venv-vllm/bin/python] [--repeat 1]

Compared: the engines, and transformers' plain `generate` in bfloat16 with the best of a few batch sizes. An engine that
is installed in another environment is run by the interpreter that --python gives. Goal on a 2-core CPU: openvino at
least 3 times plain `generate`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from judgeloop.config import EngineSection
from judgeloop.engines import open_engine
from judgeloop.engines.base import Request, Sampling
from judgeloop.engines.batch import left_padded
from judgeloop.jsonl import write_text_atomically
from judgeloop.models.chat import Chat
from judgeloop.models.resolve import resolve

SAMPLES = 4
SAMPLING = Sampling(max_new_tokens=128, temperature=0.7, top_p=0.9)
FORMS = (
    "Briefly describe {}.",
    "Explain to a child why people like {}.",
    "Write a short story about {}.",
    "Give three tips on {}.",
)
TOPICS = ("the Moon", "baking bread", "rain", "old maps", "learning a language", "bicycles", "bees", "chess")


def workload(chat: Chat) -> list[tuple[int, ...]]:
    """The 32 prompts as token ids."""
    texts = [form.format(topic) for topic in TOPICS for form in FORMS]
    return [tuple(chat.prompt_ids([{"role": "user", "content": text}])) for text in texts]


def with_engine(kind: str, folder: Path, chat: Chat, work_dir: Path) -> Callable[[int], int]:
    """An engine of ours: a function from a seed to the number of tokens generated."""
    section = EngineSection.model_validate({"kind": kind})
    engine = open_engine(section, folder, chat, work_dir=work_dir, threads=None, seed=0)

    def run(seed: int) -> int:
        prompts = workload(chat)
        requests = [Request(str(k), ids, SAMPLING, SAMPLES, seed=seed + k) for k, ids in enumerate(prompts)]
        return sum(len(generation.token_ids) for generation in engine.generate(requests))

    # Loading is not part of the figure.
    warm = [Request("warm", workload(chat)[0], Sampling(2))]
    assert len(list(engine.generate(warm))) == 1
    return run


def elsewhere(python: str, kind: str, folder: Path, repeat: int) -> dict[str, Any]:
    """What this file measures of an engine by another interpreter."""
    source = str(Path(__file__).resolve().parents[1] / "src")
    command = [python, __file__, "--engines", kind, "--model", str(folder), "--repeat", str(repeat), "--batches"]
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "row.json"
        environment = {**os.environ, "PYTHONPATH": source}
        subprocess.run([*command, "--out", str(out)], check=True, env=environment, stdout=subprocess.DEVNULL)
        row: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))["runs"][0]
    return row


def with_generate(model: Any, chat: Chat, sequences: int) -> Callable[[int], int]:
    """Plain `generate` in static batches of `sequences` sequences."""

    def run(seed: int) -> int:
        torch.manual_seed(seed)
        prompts = workload(chat)
        size = max(1, sequences // SAMPLES)
        return sum(_generate(model, chat, prompts[k : k + size]) for k in range(0, len(prompts), size))

    return run


def _generate(model: Any, chat: Chat, prompts: Sequence[tuple[int, ...]]) -> int:
    ids, mask = left_padded(prompts, chat.pad_id, "cpu")
    output = model.generate(
        ids,
        attention_mask=mask,
        do_sample=True,
        temperature=SAMPLING.temperature,
        top_p=SAMPLING.top_p,
        top_k=0,
        num_return_sequences=SAMPLES,
        max_new_tokens=SAMPLING.max_new_tokens,
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
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the fastest counts")
    parser.add_argument("--engines", nargs="+", default=["openvino", "transformers"])
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=FILE", help="its interpreter")
    parser.add_argument("--batches", type=int, nargs="*", default=[32, 64, 128], help="batch sizes of plain generate")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    folder = resolve(options.model).path
    chat = Chat.load(folder)
    rows: list[dict[str, Any]] = []

    def measure(name: str, run: Callable[[int], int]) -> None:
        timed = []
        for seed in range(options.repeat):
            started = time.perf_counter()
            tokens = run(1000 * seed)
            timed.append((tokens / (time.perf_counter() - started), tokens))
        speed, tokens = max(timed)
        told({"run": name, "tokens": tokens, "tokens_per_second": speed})

    def told(row: dict[str, Any]) -> None:
        rows.append(row)
        print(f"{row['run']:<34}{row['tokens']:>8} tokens{row['tokens_per_second']:>9.0f} tok/s", flush=True)

    pythons = dict(given.split("=", 1) for given in options.python)
    with tempfile.TemporaryDirectory() as work:
        for kind in options.engines:
            if kind in pythons:
                told(elsewhere(pythons[kind], kind, folder, options.repeat))
            else:
                measure(f"{kind} engine", with_engine(kind, folder, chat, Path(work)))
    engines = len(rows)
    ratios: dict[str, float] = {}
    if options.batches:
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.bfloat16)
        for sequences in options.batches:
            measure(f"generate bf16, {sequences} sequences", with_generate(model, chat, sequences))
        plain = max(row["tokens_per_second"] for row in rows[engines:])
        ratios = {row["run"]: row["tokens_per_second"] / plain for row in rows[:engines]}
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f} times plain generate at its best batch")
    if options.out:
        result = {"model": options.model, "runs": rows, "times_plain_generate": ratios}
        write_text_atomically(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
