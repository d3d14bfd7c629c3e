"""Judgements per second: 256 responses of Open Assistant judged three times in writing, and by expected score.

    python benchmarks/judging.py [--trees FILE] [--responses 256] [--plain 32] [--parts expected sampled prefix plain]

Compared with what one would write with transformers alone: `generate` on padded batches, K samples a response,
bfloat16, the best of a few batch sizes, on the first `--plain` responses. Goals on a 2-core CPU: sampled at least 6
times, expected at least 20 times as many responses per second.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from judgeloop.config import EngineSection, JudgeSection
from judgeloop.data.readers import read_ranked
from judgeloop.engines import open_engine
from judgeloop.engines.base import Request, Sampling
from judgeloop.engines.batch import left_padded
from judgeloop.jsonl import write_text_atomically
from judgeloop.judging.parse_score import parse_score
from judgeloop.judging.pointwise import ToJudge, judge
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.models.resolve import resolve

SAMPLES = 3
SAMPLED = JudgeSection(rubric="additive-5", scoring="sampled", samples=SAMPLES)
EXPECTED = JudgeSection(rubric="additive-5-direct", scoring="expected", min_mass=0.0)
PROMPT_TOKENS, RESPONSE_TOKENS = 128, 256  # longer ones are cut, so that a judgement fits into a small model's habits


def workload(chat: Chat, trees: Path, count: int) -> list[ToJudge]:
    """The first ranked replies to first prompts, in the file's order."""
    items = []
    for ranked in read_ranked(trees)[0]:
        asked = _cut(chat, ranked.messages[-1]["content"], PROMPT_TOKENS)
        for number, response in enumerate(ranked.responses):
            text = _cut(chat, response["text"], RESPONSE_TOKENS)
            items.append(ToJudge(f"{ranked.id}.{number}", [{"role": "user", "content": asked}], text))
    if len(items) < count:
        raise SystemExit(f"{trees}: {len(items)} responses, fewer than {count}")
    return items[:count]


def _cut(chat: Chat, text: str, tokens: int) -> str:
    return chat.decode(chat.text_ids(text)[:tokens])


def ours(kind: str, folder: Path, chat: Chat, items: Sequence[ToJudge], config: JudgeSection) -> dict[str, Any]:
    """Judge all items with an engine of ours; loading is not part of the figure."""
    rubric = load_rubric(config.rubric)
    with tempfile.TemporaryDirectory() as work:
        engine = open_engine(
            EngineSection.model_validate({"kind": kind}), folder, chat, work_dir=Path(work), threads=None, seed=0
        )
        list(judge(engine, chat, rubric, config.model_copy(update={"samples": 1}), items[:1], 1))
        started = time.perf_counter()
        rows = list(judge(engine, chat, rubric, config, items, 0))
        seconds = time.perf_counter() - started
        engine.close()
    written = sum(len(chat.text_ids(row.text)) for row in rows)
    return {
        "responses": len(items),
        "judgements": len(rows),
        "scored": sum(row.score is not None for row in rows),
        "seconds": seconds,
        "responses_per_second": len(items) / seconds,
        "written_tokens": written,
        "written_tokens_per_second": written / seconds,
    }


def prefix_share(kind: str, folder: Path, chat: Chat, items: Sequence[ToJudge]) -> dict[str, Any]:
    """Share of the time to read all prompts that the prefix cache saves: one token is generated behind each prompt,
    once as they are and once with a different first token each, so that no two have a common beginning."""
    rubric = load_rubric(SAMPLED.rubric)
    prompts = [tuple(chat.prompt_ids(rubric.messages(item.prompt, item.response))) for item in items]
    apart = [(1000 + number, *ids[1:]) for number, ids in enumerate(prompts)]
    first, last = min(prompts), max(prompts)
    common = next(k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    seconds = {}
    with tempfile.TemporaryDirectory() as work:
        engine = open_engine(
            EngineSection.model_validate({"kind": kind}), folder, chat, work_dir=Path(work), threads=None, seed=0
        )
        list(engine.generate([Request("warm", apart[0][:64], Sampling(1))]))
        for name, asked in (("apart", apart), ("shared", prompts)):
            requests = [Request(str(number), ids, Sampling(1)) for number, ids in enumerate(asked)]
            started = time.perf_counter()
            list(engine.generate(requests))
            seconds[name] = time.perf_counter() - started
        engine.close()
    tokens = sum(map(len, prompts))
    return {
        "prompt_tokens": tokens,
        "in_common": common,
        "in_common_share": common * (len(prompts) - 1) / tokens,
        "seconds_without": seconds["apart"],
        "seconds_with": seconds["shared"],
        "time_saved": 1 - seconds["shared"] / seconds["apart"],
    }


def plain(folder: Path, chat: Chat, items: Sequence[ToJudge], size: int) -> dict[str, Any]:
    """transformers' `generate` as its documentation has it, `size` responses a batch, longest first."""
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.bfloat16)
    rubric = load_rubric(SAMPLED.rubric)
    prompts = sorted(
        (tuple(chat.prompt_ids(rubric.messages(item.prompt, item.response))) for item in items), key=len, reverse=True
    )
    torch.manual_seed(0)
    written = scored = 0
    started = time.perf_counter()
    for first in range(0, len(prompts), size):
        ids, mask = left_padded(prompts[first : first + size], chat.pad_id, "cpu")
        with torch.inference_mode():
            output = model.generate(
                ids,
                attention_mask=mask,
                do_sample=True,
                temperature=SAMPLED.sampling.temperature,
                top_p=SAMPLED.sampling.top_p,
                top_k=0,
                num_return_sequences=SAMPLES,
                max_new_tokens=SAMPLED.sampling.max_new_tokens,
                eos_token_id=list(chat.end_ids),
                pad_token_id=chat.pad_id,
            )
        for row in output[:, ids.shape[1] :].tolist():
            text = chat.decode(row)
            written += len(chat.text_ids(text))
            scored += parse_score(text).value is not None
    seconds = time.perf_counter() - started
    return {
        "responses": len(items),
        "judgements": len(items) * SAMPLES,
        "scored": scored,
        "seconds": seconds,
        "responses_per_second": len(items) / seconds,
        "written_tokens": written,
        "written_tokens_per_second": written / seconds,
        "batch": size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--trees", type=Path, default=Path("../shared/data/oasst_en_100_trees.jsonl"))
    parser.add_argument("--responses", type=int, default=256)
    parser.add_argument("--plain", type=int, default=32, help="responses that plain generate judges")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[8, 16, 32], help="responses a batch of plain generate"
    )
    parser.add_argument("--parts", nargs="+", default=["expected", "sampled", "prefix", "plain"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    folder = resolve(options.model).path
    chat = Chat.load(folder)
    items = workload(chat, options.trees, options.responses)
    found: dict[str, dict[str, Any]] = {}

    def show(name: str, result: dict[str, Any]) -> None:
        found[name] = result
        print(
            f"{name:<34}{result['responses']:>5} responses{result['seconds']:>8.1f} s"
            f"{result['responses_per_second']:>8.2f}/s{result['written_tokens_per_second']:>8.0f} tok/s written",
            flush=True,
        )

    if "expected" in options.parts:
        show("expected", ours("auto", folder, chat, items, EXPECTED))
    if "sampled" in options.parts:
        show("sampled, K = 3", ours("auto", folder, chat, items, SAMPLED))
    if "prefix" in options.parts:
        share = prefix_share("auto", folder, chat, items)
        found["prefix"] = share
        print(
            f"{share['prompt_tokens']} prompt tokens, {share['in_common_share']:.1%} of them the same beginning; "
            f"read in {share['seconds_with']:.1f} s, without a prefix cache {share['seconds_without']:.1f} s: "
            f"{share['time_saved']:.1%} saved",
            flush=True,
        )
    if "plain" in options.parts:
        for size in options.batches:
            show(f"plain generate, K = 3, batch {size}", plain(folder, chat, items[: options.plain], size))
        best = max(result["responses_per_second"] for name, result in found.items() if name.startswith("plain"))
        for name in [name for name in ("expected", "sampled, K = 3") if name in found]:
            found[name]["times_plain"] = found[name]["responses_per_second"] / best
            print(f"{name}: {found[name]['times_plain']:.1f} times plain generate")
    if options.out:
        write_text_atomically(options.out, json.dumps({"model": options.model, "runs": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
