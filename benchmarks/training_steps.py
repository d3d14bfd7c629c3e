"""The first steps of a run's own SFT and DPO: tokens a second, peak memory, and where the time goes.

    python benchmarks/training_steps.py RUN [--steps 6] [--against SRC …] [--profile] [--out FILE.json]

RUN is a finished run: its seed's rows for M1, its pairs for M2. Each measurement is a process of its own, and the first
step, in which memory is touched for the first time, is left out. `--against` measures other trees of judgeloop's
sources too (the `src` of another checkout), one after the other in the same run. `--profile` says how large a share of
the steps matrix products, attention, copies and casts, and the optimiser have, how fast the products were, how fast a
large one is in the same process, and how much of what that allows a step reaches. A token counts as often as the rows
have it, shared or not, with both sides of a pair; replayed rows are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STAGES = ("sft", "dpo")
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
COPIES = ("aten::copy_", "aten::cat", "aten::index_select", "aten::clone")


class Enough(BaseException):
    """The steps asked for are done."""


def train(stage: str, run: Path, steps: int, profiled: bool) -> dict[str, Any]:
    """Train for some steps in this process and measure them."""
    import torch

    from judgeloop.config.loading import load
    from judgeloop.jsonl import read_rows
    from judgeloop.models.chat import Chat
    from judgeloop.models.resolve import resolve
    from judgeloop.records import Candidate, PreferencePair, SupervisedRow
    from judgeloop.stages.training import score_alone
    from judgeloop.training import trainer
    from judgeloop.training.preference import train_preference
    from judgeloop.training.sft import train_sft

    config = load(run / "config.yaml")
    eft = read_rows(run / "M1" / "eft.jsonl", SupervisedRow)
    ift = read_rows(run / "M1" / "ift.jsonl", SupervisedRow)
    moments: list[float] = []
    tokens: list[int] = []
    losses: list[float] = []
    profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], with_flops=True)

    def progress(done: int, _total: int) -> None:
        moments.append(time.perf_counter())
        if profiled and done == 1:
            profile.__enter__()
        if done == steps:
            if profiled:
                profile.__exit__(None, None, None)
            raise Enough

    own_step = trainer.ExactLoss.own_step

    def counted(self: Any, model: Any, inputs: Any, units: float) -> Any:
        tokens.append(int(inputs["attention_mask"].sum()))
        return own_step(self, model, inputs, units)

    setattr(trainer.ExactLoss, "own_step", counted)  # noqa: B010  (mypy refuses the assignment)
    common: dict[str, Any] = {
        "seed": config.seed, "threads": config.threads or os.cpu_count(), "on_progress": progress,
        "on_metrics": lambda values: losses.append(values["loss"]), "score_alone": score_alone(config),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as work:
        output = Path(work) / "model"
        try:
            if stage == "sft":
                common["initial"] = resolve(config.model).path
                common["chat"] = Chat.load(common["initial"])
                section = config.sft.model_copy(update={"checkpoint_steps": None})
                train_sft([*ift, *eft], output=output, config=section, **common)
            else:
                initial = run / "M1" / "model"
                candidates = read_rows(run / "M2" / "candidates.jsonl", Candidate)
                train_preference(
                    read_rows(run / "M2" / "pairs.jsonl", PreferencePair),
                    initial=initial, reference=initial, output=output, chat=Chat.load(initial), eft=eft, ift=ift,
                    token_ids={row.id: row.token_ids for row in candidates},
                    cut_off={row.id for row in candidates if row.finish_reason == "length"},
                    config=config.train.model_copy(update={"checkpoint_steps": None}), **common,
                )  # fmt: skip
        except Enough:
            pass
    seconds = moments[-1] - moments[1]
    told: Any = sys.modules.get("judgeloop.training.memory", trainer)  # older sources have it in the trainer
    found: dict[str, Any] = {
        "tokens_per_second": sum(tokens[1:steps]) / seconds,
        "seconds_a_step": seconds / (steps - 1),
        "peak_memory_mib": told.peak_memory_mib(),
        "losses": losses,
    }
    return {**found, **(shares(profile, torch) if profiled else {})}


def shares(profile: Any, torch: Any) -> dict[str, Any]:
    """Shares of the steps' time, and the rate of the products and of a large one, in GFLOP/s."""
    events = list(profile.key_averages())
    own = {event.key: event.self_cpu_time_total for event in events}
    total = sum(own.values())
    whole = {event.key: event.cpu_time_total for event in events}
    attention = sum(whole.get(name, 0) for name in ("_Attention", "_AttentionBackward"))
    one = torch.randn(4096, 4096).bfloat16()
    one @ one
    begun = time.perf_counter()
    for _ in range(3):
        one @ one
    limit = 3 * 2 * 4096**3 / (time.perf_counter() - begun) / 1e9
    work = sum(event.flops for event in events if event.key in PRODUCTS) / 1e9
    return {
        "shares": {
            "matrix products": sum(own.get(name, 0) for name in PRODUCTS) / total,
            "attention, its products with it": attention / total,
            "copies and casts": sum(own.get(name, 0) for name in COPIES) / total,
            "optimiser": sum(value for name, value in own.items() if "adam" in name) / total,
        },
        "gflops": {
            "of the products": work / sum(own.get(name, 0) for name in PRODUCTS) * 1e6,
            "of a large product": limit,
        },
        "gflop": work,
    }


def measured(source: str, stage: str, options: argparse.Namespace, *, profiled: bool = False) -> dict[str, Any]:
    """`train` in a process that takes judgeloop from `source`, with the allocator that its runs would use."""
    from judgeloop.compute import allocator  # not in the process that measures, whose sources may have none

    own = allocator.preload() if (Path(source) / "judgeloop" / "compute" / "allocator.py").is_file() else {}
    with tempfile.TemporaryDirectory() as work:
        result = Path(work) / "result.json"
        asked = [sys.executable, __file__, str(options.run), "--steps", str(options.steps), "--child", stage]
        asked += ["--out", str(result), *(["--profile"] if profiled else [])]
        subprocess.run(asked, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **own, "PYTHONPATH": source})
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--against", nargs="*", default=[])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", choices=STAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        options.out.write_text(json.dumps(train(options.child, options.run, options.steps, options.profile)))
        return
    results = []
    for stage in options.stages:
        first = None
        for source in [str(Path(__file__).resolve().parent.parent / "src"), *options.against]:
            watched = measured(source, stage, options, profiled=True) if options.profile else {}
            found = {**watched, **measured(source, stage, options), "stage": stage, "source": source}
            results.append(found)
            first = first or found["tokens_per_second"]
            rate = found["tokens_per_second"]
            print(f"{stage}  {source}: {rate:.0f} tokens/s, {found['seconds_a_step']:.2f} s a step, ", end="")
            print(f"peak {found['peak_memory_mib']:.0f} MiB; the first source is {first / rate:.2f} ×", flush=True)
            for name, share in found.get("shares", {}).items():
                print(f"    {name}: {share:.0%} of the time")
            for name, speed in found.get("gflops", {}).items():
                print(f"    GFLOP/s {name}: {speed:.0f}")
            if "gflop" in found:  # with the time of steps that nothing watched
                reached = found["gflop"] / (options.steps - 1) / found["seconds_a_step"]
                found["of_the_limit"] = reached / found["gflops"]["of a large product"]
                print(f"    the steps reach {found['of_the_limit']:.0%} of what a large product allows")
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
