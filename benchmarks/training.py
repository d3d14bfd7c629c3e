"""Preference training: tokens a second and peak memory of TRL's DPOTrainer and of ours, on the same real pairs.

    python benchmarks/training.py [--trees FILE] [--pairs 256] [--steps N] [--shipped-steps 3] [--variants …]
                                  [--out FILE.json] [--plot FILE.html]

Best and worst reply of each ranked set of Open Assistant (every turn; if those are too few, every ordered pair),
pairs over 512 tokens dropped and counted. Each variant runs in a process of its own with the same model, batches,
order, optimiser and schedule:

- `trl`: DPOTrainer as it ships, on a CPU, in float32;
- `trl-bf16`: the same in bf16 autocast without gradient checkpointing;
- `ours`: judgeloop's trainer as a run uses it, with its memory allocator (`LD_PRELOAD=` turns that off); `ours-f32`: in
  float32, to set its losses beside those of `trl`; `ours-separate`: prompts shared never.

Timed from the first step on, for ours with the reference's log-probabilities before it (TRL's are made in each step).
`trl` is so slow that by default it does the first few steps alone; its figures are of those. Goals on a 2-core CPU:
ours at least 3 times `trl` and 1.5 times `trl-bf16`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from judgeloop.compute import allocator
from judgeloop.data.readers import read_ranked
from judgeloop.jsonl import write_text_atomically
from judgeloop.models.chat import Chat
from judgeloop.models.resolve import resolve
from judgeloop.records import PreferencePair, RankedSet

BATCH, MAX_LENGTH, BETA, SEED = 8, 512, 0.1, 0
OURS = ("ours", "ours-f32", "ours-separate")
VARIANTS = ("trl", "trl-bf16", *OURS)
DEFAULT = ("ours", "trl-bf16", "trl")


def ranked_pairs(sets: Sequence[RankedSet], everything: bool) -> list[PreferencePair]:
    """Best against worst of each set, then (with `everything`) all other pairs whose ranks differ."""
    extremes: list[PreferencePair] = []
    others: list[PreferencePair] = []
    for entry in sets:
        by_rank = sorted(range(len(entry.responses)), key=lambda k: float(entry.responses[k]["rank"]))
        for best, worst in combinations(by_rank, 2):
            chosen, rejected = entry.responses[best], entry.responses[worst]
            if chosen["rank"] == rejected["rank"]:
                continue
            pair = PreferencePair(
                f"{entry.id}.{best}.{worst}", entry.id, entry.messages,
                [{"role": "assistant", "content": chosen["text"]}],
                [{"role": "assistant", "content": rejected["text"]}],
                f"{entry.id}.{best}", f"{entry.id}.{worst}", -float(chosen["rank"]), -float(rejected["rank"]),
            )  # fmt: skip
            (extremes if (best, worst) == (by_rank[0], by_rank[-1]) else others).append(pair)
    return extremes + (others if everything else [])


def workload(trees: Path, chat: Chat, count: int) -> tuple[list[dict[str, list[int]]], dict[str, Any]]:
    """The pairs as token ids, shuffled, and an account of them."""
    import random

    from judgeloop.training.data import pair_examples

    sets = read_ranked(trees, turns="all")[0]
    pairs = ranked_pairs(sets, everything=False)
    found = pair_examples(pairs, chat, MAX_LENGTH, {})
    widened = len(found.examples) < count
    if widened:
        pairs = ranked_pairs(sets, everything=True)
        found = pair_examples(pairs, chat, MAX_LENGTH, {})
    examples = found.examples[:count]
    random.Random(SEED).shuffle(examples)
    rows = [{"prompt_ids": e.prompt_ids, "chosen_ids": e.chosen_ids, "rejected_ids": e.rejected_ids} for e in examples]
    account = {
        "sets": len(sets),
        "pairs_available": len(found.examples),
        "beyond_best_and_worst": widened,
        "dropped": found.dropped,
        "pairs": len(rows),
        "tokens": sum(e.tokens for e in examples),
        "prompt_share": sum(len(e.prompt_ids) for e in examples) / max(1, sum(e.tokens for e in examples)),
    }
    return rows, account


def child(variant: str, folder: Path, rows: list[dict[str, list[int]]], learning_rate: float) -> dict[str, Any]:
    """Train on the rows and measure."""
    import torch
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import DPOConfig, DPOTrainer

    from judgeloop.config import TrainSection
    from judgeloop.training import logprobs
    from judgeloop.training.arguments import choose_precision, trainer_arguments
    from judgeloop.training.memory import keep_freed_memory, peak_memory_mib
    from judgeloop.training.pair_trainer import PairTrainer
    from judgeloop.training.trainer import Reporter, fit, private_tokenizer
    from judgeloop.training.weights import load_model, with_dropout

    def tokenised_already(_self: Any, dataset: Dataset, *_args: Any, **_rest: Any) -> Dataset:
        return dataset

    def in_order(self: Any, dataset: Dataset | None = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset if dataset is None else dataset)

    chat = Chat.load(folder)
    section = TrainSection(
        learning_rate=learning_rate,
        lr_min=1.0,  # constant, so that fewer steps are the first of more
        warmup=0.0,
        beta=BETA,
        batch_size=BATCH,
        micro_batch_size=BATCH,
        checkpoint_steps=None,
    )
    metrics: list[dict[str, float]] = []
    own = variant in OURS
    with tempfile.TemporaryDirectory() as work:
        scratch = Path(work) / "scratch"
        scratch.mkdir()
        precision = (
            "f32" if variant in ("trl", "ours-f32") else "bf16" if variant == "trl-bf16" else choose_precision("auto")
        )
        given = trainer_arguments(section, stage="dpo", seed=SEED, precision=precision, scratch=scratch)
        if variant == "trl":
            del given["activation_checkpointing"]  # so that TRL's own default holds
        model = with_dropout(load_model(folder), 0.0, "")
        data = Dataset.from_list(rows)
        tokenizer = private_tokenizer(chat)
        loss_name = "dpo_loss" if own else "loss"
        reporter = Reporter(lambda _done, _total: None, metrics.append, loss_name)
        if own:
            keep_freed_memory()
            if variant == "ours-separate":
                vars(logprobs)["tree_limit"] = lambda _model: 0
            started = time.perf_counter()
            trainer: Any = PairTrainer(
                model,
                section=section,
                args=DPOConfig(**given, beta=BETA, loss_type=["sigmoid"], precompute_ref_log_probs=True),
                train_dataset=data,
                processing_class=tokenizer,
            )
        else:
            DPOTrainer._prepare_dataset = tokenised_already
            trainer = DPOTrainer(
                model, args=DPOConfig(**given, beta=BETA), train_dataset=data, processing_class=tokenizer
            )
            started = time.perf_counter()
        trainer._get_train_sampler = types.MethodType(in_order, trainer)
        before = time.perf_counter() - started
        fit(trainer, reporter, scratch)
        seconds = time.perf_counter() - started
    tokens = sum(2 * len(r["prompt_ids"]) + len(r["chosen_ids"]) + len(r["rejected_ids"]) for r in rows)
    return {
        "variant": variant,
        "precision": precision,
        "gradient_checkpointing": bool(trainer.args.activation_checkpointing),
        "attention": trainer.model.config._attn_implementation,
        "threads": torch.get_num_threads(),
        "steps": trainer.state.global_step,
        "pairs": len(rows),
        "tokens": tokens,
        "seconds": seconds,
        "reference_seconds": before if own else None,
        "tokens_per_second": tokens / seconds,
        "peak_memory_mib": peak_memory_mib(),
        "losses": reporter.losses,
        "grad_norms": [row["grad_norm"] for row in metrics],
    }


def in_child(variant: str, folder: Path, rows: list[dict[str, list[int]]], learning_rate: float) -> dict[str, Any]:
    """Measure in a fresh process, so that one's memory is not another's."""
    with tempfile.TemporaryDirectory() as work:
        data, result = Path(work) / "rows.json", Path(work) / "result.json"
        data.write_text(json.dumps(rows), encoding="utf-8")
        own = allocator.preload() if variant in OURS else {}
        subprocess.run(
            [sys.executable, __file__, "--child", variant, "--model", str(folder), "--rows", str(data),
             "--learning-rate", str(learning_rate), "--out", str(result)],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, **own},
        )  # fmt: skip
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found


def compared(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Are two loss curves on the same batches the same but for noise? Yes if the 95% interval of the mean difference
    covers 0, or no step differs by more than 0.01 (bf16 rounds log-probabilities to less)."""
    differences = [a - b for a, b in zip(ours, theirs, strict=False)]
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    largest = max(map(abs, differences))
    return {
        "steps": len(differences),
        "mean_difference": mean,
        "standard_error": error,
        "largest_difference": largest,
        "within_noise": bool(abs(mean) <= 1.96 * error or largest <= 0.01),
    }


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """The loss curves as one static page."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for result in results:
        steps = list(range(1, len(result["losses"]) + 1))
        figure.add_scatter(x=steps, y=result["losses"], mode="lines+markers", name=result["variant"])
    figure.update_layout(title="DPO loss on the same batches", xaxis_title="step", yaxis_title="loss (nats)")
    figure.write_html(str(path), include_plotlyjs=True)


def report(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Print the table and how the curves compare; return the ratios and comparisons."""
    by_name = {result["variant"]: result for result in results}
    ours = by_name.get("ours")
    print(f"\n{'variant':<16}{'steps':>6}{'tokens':>9}{'seconds':>9}{'tok/s':>8}{'peak MiB':>10}{'ours is':>9}")
    ratios, curves = {}, {}
    for result in results:
        name = result["variant"]
        ratio = ours["tokens_per_second"] / result["tokens_per_second"] if ours else math.nan
        ratios[name] = ratio
        print(
            f"{name:<16}{result['steps']:>6}{result['tokens']:>9}{result['seconds']:>9.1f}"
            f"{result['tokens_per_second']:>8.0f}{result['peak_memory_mib']:>10.0f}{ratio:>8.2f}×"
        )
    for name, result in by_name.items():
        if ours and name != "ours":
            found = curves[name] = compared(ours["losses"], result["losses"])
            print(
                f"ours − {name} over {found['steps']} steps: mean {found['mean_difference']:+.5f} ± "
                f"{found['standard_error']:.5f}, at most {found['largest_difference']:.5f}: "
                f"{'within noise' if found['within_noise'] else 'NOT within noise'}"
            )
    return {"ours_over": ratios, "curves": curves}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--trees", type=Path, default=Path("../shared/data/oasst_en_100_trees.jsonl"))
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--steps", type=int, help=f"stop after so many steps of {BATCH} pairs")
    parser.add_argument("--shipped-steps", type=int, default=3, help="steps of `trl`, which is very slow")
    parser.add_argument("--learning-rate", type=float, default=5e-6)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(DEFAULT))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--add-to", type=Path, help="an earlier --out file, whose results are shown beside these")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()

    folder = resolve(options.model).path
    if options.child:
        found = child(
            options.child, folder, json.loads(options.rows.read_text(encoding="utf-8")), options.learning_rate
        )
        write_text_atomically(options.out, json.dumps(found))
        return
    rows, account = workload(options.trees, Chat.load(folder), options.pairs)
    print(account, flush=True)
    results = json.loads(options.add_to.read_text(encoding="utf-8"))["results"] if options.add_to else []
    for variant in options.variants:
        steps = options.steps if options.steps is not None else math.ceil(len(rows) / BATCH)
        if variant == "trl":
            steps = min(steps, options.shipped_steps)
        result = in_child(variant, folder, rows[: steps * BATCH], options.learning_rate)
        results.append(result)
        print(f"{variant}: {result['tokens_per_second']:.0f} tok/s over {result['steps']} steps", flush=True)
        if options.out:
            write_text_atomically(options.out, json.dumps({"workload": account, "results": results}, indent=1))
    summary = report(results)
    if options.out:
        write_text_atomically(options.out, json.dumps({"workload": account, "results": results, **summary}, indent=1))
    if options.plot:
        draw(results, options.plot)


if __name__ == "__main__":
    main()
