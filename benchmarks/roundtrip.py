"""Does an engine compute what the folder says? Greedy continuations of 64 prompts against transformers in float32.

    python benchmarks/roundtrip.py [--engine openvino] [--model smollm2-135m-instruct] [--questions FILE] [--out FILE]
                                   [--keep FILE]

Compared: the engine (openvino, or vllm in an environment that has it) at float32 and at its default precision, and
transformers in bfloat16 (what a rounded computation costs by itself). What was made is kept in the file of --keep and
not made again, so a run may be cut off, and engines of several environments be compared with one reference. Goal on the
embedded model: openvino f32 equal on at least 61 of 64, openvino default on at least as many as transformers bf16.
"""

from __future__ import annotations

import argparse
import json
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
from judgeloop.jsonl import read_objects, write_text_atomically
from judgeloop.models.chat import Chat
from judgeloop.models.resolve import resolve

Ids = tuple[int, ...]


def with_transformers(
    folder: Path, chat: Chat, prompts: Sequence[Ids], tokens: int, dtype: Any, batch: int
) -> list[Ids]:
    """Greedy continuations by plain `generate`, nothing of ours."""
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype)
    found: list[Ids] = []
    for first in range(0, len(prompts), batch):
        ids, mask = left_padded(prompts[first : first + batch], chat.pad_id, "cpu")
        output = model.generate(
            ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=tokens,
            eos_token_id=list(chat.end_ids),
            pad_token_id=chat.pad_id,
        )
        found += [up_to_end(row, chat.end_ids) for row in output[:, ids.shape[1] :].tolist()]
    return found


def up_to_end(row: Sequence[int], end_ids: Sequence[int]) -> Ids:
    """The generated tokens without the padding behind the first end token."""
    ends = [place for place, token in enumerate(row) if token in end_ids]
    return tuple(row[: ends[0] + 1] if ends else row)


def with_engine(
    kind: str, folder: Path, chat: Chat, prompts: Sequence[Ids], tokens: int, precision: str, work_dir: Path
) -> list[Ids]:
    """Greedy continuations by an engine."""
    section = EngineSection.model_validate({"kind": kind, "precision": precision})
    engine = open_engine(section, folder, chat, work_dir=work_dir, threads=None, seed=0)
    requests = [Request(str(number), ids, Sampling(tokens)) for number, ids in enumerate(prompts)]
    found = {int(generation.request_id): generation.token_ids for generation in engine.generate(requests)}
    engine.close()
    return [found[number] for number in range(len(prompts))]


def same_tokens(first: Ids, second: Ids) -> int:
    """How many tokens agree before the two part."""
    pairs = list(zip(first, second, strict=False))
    return next((place for place, (a, b) in enumerate(pairs) if a != b), len(pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--questions", type=Path, default=Path("../shared/data/mt_bench_questions.jsonl"))
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8, help="prompts that transformers runs at once")
    parser.add_argument("--keep", type=Path, help="JSON file of continuations")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    kind = options.engine
    folder = resolve(options.model).path
    chat = Chat.load(folder)
    turns = [str(row["turns"][0]) for _, row in read_objects(options.questions)][: options.prompts]
    prompts = [tuple(chat.prompt_ids([{"role": "user", "content": turn}])) for turn in turns]
    with tempfile.TemporaryDirectory() as work:
        runs: dict[str, Callable[[], list[Ids]]] = {
            "transformers f32": lambda: with_transformers(
                folder, chat, prompts, options.tokens, torch.float32, options.batch
            ),
            f"{kind} f32": lambda: with_engine(kind, folder, chat, prompts, options.tokens, "f32", Path(work)),
            f"{kind} default": lambda: with_engine(kind, folder, chat, prompts, options.tokens, "default", Path(work)),
            "transformers bf16": lambda: with_transformers(
                folder, chat, prompts, options.tokens, torch.bfloat16, options.batch
            ),
        }
        known = json.loads(options.keep.read_text()) if options.keep and options.keep.exists() else {}
        found: dict[str, list[Ids]] = {}
        rows = []
        print(f"{'run':<20}{'equal':>10}{'tokens that agree':>20}{'seconds':>10}", flush=True)
        for name, run in runs.items():
            started = time.perf_counter()
            key = f"{name}, {len(prompts)} prompts, {options.tokens} tokens, {options.model}"
            if key not in known:
                ids = run()
                known[key] = {"ids": ids, "seconds": time.perf_counter() - started}
                if options.keep:
                    write_text_atomically(options.keep, json.dumps(known))
            found[name] = [tuple(ids) for ids in known[key]["ids"]]
            seconds = known[key]["seconds"]
            reference = found["transformers f32"]
            equal = sum(a == b for a, b in zip(found[name], reference, strict=True))
            agree = sum(same_tokens(a, b) for a, b in zip(found[name], reference, strict=True)) / len(prompts)
            rows.append({"run": name, "equal": equal, "of": len(prompts), "agree": agree, "seconds": seconds})
            print(f"{name:<20}{f'{equal}/{len(prompts)}':>10}{agree:>20.1f}{seconds:>10.1f}", flush=True)
    if options.out:
        result = {"model": options.model, "tokens": options.tokens, "runs": rows}
        write_text_atomically(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
