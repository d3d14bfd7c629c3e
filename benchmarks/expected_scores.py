"""Expected scores a second, from a token tree and from padded batches behind a cached rubric, in turns in one run.

    python benchmarks/expected_scores.py RUN [--iteration 2] [--rubric FILE] [--candidates 240] [--rounds 4]

The candidates of M{iteration} in the run's directory are judged by the model before it, as the run's judge did.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from judgeloop.config import EngineSection, JudgeSection
from judgeloop.engines.option_trees import OptionTrees
from judgeloop.engines.transformers import TransformersEngine
from judgeloop.jsonl import write_text_atomically
from judgeloop.judging.pointwise import ToJudge, judge
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.chat import Chat

CONFIG = JudgeSection(scoring="expected", min_mass=0.0)


def workload(folder: Path, count: int) -> list[ToJudge]:
    """The first candidates of an iteration, in the file's order: those of a prompt follow one another."""
    prompts = {row["id"]: row["messages"] for row in _rows(folder / "prompts.jsonl")}
    rows = _rows(folder / "candidates.jsonl")[:count]
    return [ToJudge(row["id"], prompts[row["prompt_id"]], row["text"], row["prompt_id"]) for row in rows]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def once(engine: TransformersEngine, chat: Chat, rubric: Rubric, items: Sequence[ToJudge], way: str) -> dict[str, Any]:
    """Judge all items one way; `score` by item."""
    with patch.object(OptionTrees, "can_read", (lambda *_: False) if way == "batches" else OptionTrees.can_read):
        started = time.perf_counter()
        rows = list(judge(engine, chat, rubric, CONFIG, items, 0))
        seconds = time.perf_counter() - started
    scores = {row.candidate_id: row.score for row in rows}
    return {"seconds": seconds, "score": scores, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def products_share(engine: TransformersEngine, chat: Chat, rubric: Rubric, items: Sequence[ToJudge], way: str) -> float:
    """Share of the time on all cores that is spent in the layers' matrix products; silu and product count as part of
    them if they are done as a result is written."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        once(engine, chat, rubric, items, way)
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    products = ("aten::mm", "aten::addmm", "mkldnn::_linear_pointwise")
    return float(sum(value for key, value in times.items() if key.split(".")[0] in products) / sum(times.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--iteration", type=int, default=2)
    parser.add_argument("--rubric", default="configs/verifiable/rubric.txt")
    parser.add_argument("--candidates", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--precision", choices=["default", "f32"], default="default")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    folder = options.run / f"M{options.iteration - 1}" / "model"
    chat, rubric = Chat.load(folder), load_rubric(options.rubric)
    items = workload(options.run / f"M{options.iteration}", options.candidates)
    engine = TransformersEngine(EngineSection(precision=options.precision), folder, chat)
    found: dict[str, list[dict[str, Any]]] = {"tree": [], "batches": []}
    once(engine, chat, rubric, items[:8], "tree")
    for _ in range(options.rounds):
        for way, results in found.items():
            results.append(once(engine, chat, rubric, items, way))
            print(f"{way:<8}{len(items) / results[-1]['seconds']:7.1f} judgements a second", flush=True)
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(found["tree"], found["batches"], strict=True)]
    one, other = (results[0]["score"] for results in found.values())
    report = {
        "judgements": len(items),
        "precision": options.precision,
        "per_second": {way: [len(items) / r["seconds"] for r in results] for way, results in found.items()},
        "ratios": ratios,
        "peak_mb": {way: results[0]["peak_mb"] for way, results in found.items()},  # the tree's before any batch ran
        "products_share": {way: products_share(engine, chat, rubric, items[:96], way) for way in found},
        "greatest_difference_of_scores": max(abs(one[name] - other[name]) for name in one),
        "mean_difference_of_scores": statistics.mean(abs(one[name] - other[name]) for name in one),
    }
    print(f"tree {statistics.median(ratios):.2f} times batches, {min(ratios):.2f} to {max(ratios):.2f}")
    print(json.dumps({key: value for key, value in report.items() if key not in ("per_second", "ratios")}, indent=1))
    if options.out:
        write_text_atomically(options.out, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
