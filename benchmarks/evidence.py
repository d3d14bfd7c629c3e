"""Does the loop improve the embedded model, by rules it never sees? Arms and controls, over several seeds.

    python benchmarks/evidence.py [--out runs/evidence] [--config configs/verifiable-cpu.yaml] [--seeds 1 2 3]
                                  [--arms main random …] [--iterations 2] [--threads N] [--table]

Each arm is an ordinary `judgeloop run` of the config with a few keys changed; arms that do not touch M1 share the main
arm's M0 and M1 of that seed. Models are evaluated on the test prompts (configs/verifiable/test.jsonl, whose topics
stand in neither seed nor loop nor development set, and held_out_test.jsonl, whose rule stands nowhere else). Started
again it goes on where it was: runs resume, and what was measured stays in OUT/rows.jsonl, one row for each response.
Weights that no other arm needs are deleted once measured (`--keep-weights` keeps them). `--table` measures and runs
nothing: it prints the tables and draws OUT/evidence.html from OUT/rows.jsonl and OUT/models.jsonl. The rows behind
docs/evidence.md are in benchmarks/results/evidence (`--table --out benchmarks/results/evidence`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evidence_tables import MAIN, Measured, measured, record, show

ROOT = Path(__file__).resolve().parent.parent
FILES = ROOT / "configs" / "verifiable"
TRACK = FILES / "verifiable_track.py"
PROMPTS = (FILES / "test.jsonl", FILES / "held_out_test.jsonl")


@dataclass(frozen=True, slots=True)
class Arm:
    """What differs from the config. `m1_of`: the arm whose M1 it starts from (None: its own); `shares_eval`: and so is
    what was measured of it, by the same kind of judge; `shares_judged`: and so are M2's candidates and what M1 scored
    them. `iterations` None: as many as asked for; `every_seed` False: the first seed alone."""

    what: str
    changes: Sequence[str] = ()
    m1_of: str | None = MAIN
    shares_eval: bool = True
    shares_judged: bool = False
    iterations: int | None = None
    every_seed: bool = False


# M1 must learn to write the whole judgement: five tokens ("Score: 4", the end), of which the score is one. At five
# times the weight it counts as much against IFT and pairs as in the main arm, which learns the score's token alone.
LIGHT = ("judge.scoring=sampled", "sft.eft_loss=all")
WRITTEN = (*LIGHT, "sft.eft_weight=1.5", "train.eft_weight=5.0")
ARMS: dict[str, Arm] = {
    MAIN: Arm("the loop", m1_of=None, every_seed=True),
    "random": Arm(
        "control: chosen and rejected by a coin", ["pairs.control=random"],
        shares_judged=True, iterations=1, every_seed=True,
    ),
    "best_only": Arm(
        "control: imitate the best, no contrast", ["train.loss=sft_best"],
        shares_judged=True, every_seed=True,
    ),
    "oracle": Arm("ceiling: pairs by the checkers", [f"judge.function={TRACK}", "judge.contrast.others=0"]),
    "contrast": Arm(
        "scores set against other prompts", ["judge.contrast.others=2"], every_seed=True
    ),
    "fixed_judge": Arm("M1 judges in every iteration", ["judge.role=M1"]),
    "no_replay": Arm("no EFT rows beside the pairs", ["train.eft_replay=0"], shares_judged=True, iterations=1),
    "sampled": Arm("judge: 3 written scores", WRITTEN, m1_of=None, iterations=1),
    "sampled_light": Arm("the same, the score at a fifth of the weight", LIGHT, m1_of=None, iterations=1),
    "sampled_1": Arm(
        "judge: 1 written score", [*WRITTEN, "judge.samples=1"], m1_of="sampled", shares_eval=False, iterations=1
    ),
    "sampled_5": Arm(
        "judge: 5 written scores", [*WRITTEN, "judge.samples=5"], m1_of="sampled", shares_eval=False, iterations=1
    ),
    "cringe": Arm("Pairwise Cringe", ["train.loss=cringe"], shares_judged=True, iterations=1),
    "no_eft": Arm(
        "no EFT rows at all",
        ["seed_data.eft_share=0", "train.eft_replay=0"],
        m1_of=None, iterations=1,
    ),
    "multiple_choice": Arm(
        "multiple-choice rubric", ["judge.rubric=multiple-choice-5-direct"], m1_of=None, iterations=1
    ),
    "few_shot": Arm("prompts written by the current model", ["prompts.source=few_shot"], iterations=1),
    "few_shot_m0": Arm(
        "prompts written by M0", ["prompts.source=few_shot", "prompts.role=M0"], iterations=1
    ),
    "hacking": Arm(
        "what goes wrong: plain DPO, twice the step size, no NLL, no replay",
        ["train.learning_rate=8.0e-5", "train.nll_weight=0", "train.eft_replay=0"],
        shares_judged=True,
    ),
    "collapse": Arm(
        "what goes wrong: the same at five times the step size",
        ["train.learning_rate=2.0e-4", "train.nll_weight=0", "train.eft_replay=0"],
        shares_judged=True, iterations=1,
    ),
    "larger": Arm("twice the prompts, twice the candidates", ["prompts.count=600", "candidates.count=8"], iterations=1),
}  # fmt: skip


def run_arm(name: str, seed: int, options: argparse.Namespace) -> Path:
    """Run one arm with one seed and return its run directory."""
    arm, out = ARMS[name], options.out
    folder: Path = out / f"{name}-s{seed}"
    iterations, threads = options.iterations, options.threads
    m0 = {measured_seed for _, measured_seed, model in measured(out) if model == "M0"}
    if arm.m1_of is not None:
        share(out / f"{arm.m1_of}-s{seed}", folder, arm)
    # M0 is the same for every seed and arm: one run measures it, and those that share its figures.
    base = (name == MAIN or (arm.m1_of == MAIN and arm.shares_eval)) and not m0 - {seed}
    changes = [
        f"evaluation.base={str(base).lower()}",
        f"seed={seed}",
        f"iterations={min(iterations, arm.iterations or iterations)}",
        f"evaluation.prompts=[{', '.join(map(str, PROMPTS))}]",
        "evaluation.count=300",
        "stop.worse=go_on",  # every model is wanted, better or not
        *([f"threads={threads}"] if threads else []),
        *arm.changes,
    ]
    command = [sys.executable, "-m", "judgeloop", "run", str(options.config), "--out", str(folder)]
    for change in changes:
        command += ["--set", change]
    subprocess.run(command, check=True)
    return folder


def share(source: Path, target: Path, arm: Arm) -> None:
    """Hard links to what the arm has in common with the one whose M1 it starts from, where the target has none."""
    for path in sorted(path for model in ("M0", "M1", "M2") for path in (source / model).rglob("*")):
        copy = target / path.relative_to(source)
        stage = path.name.removeprefix(".").split(".")[0]
        if path.relative_to(source).parts[0] == "M2":
            wanted = arm.shares_judged and stage in ("prompts", "candidates", "judge", "judgements")
        else:
            wanted = arm.shares_eval or stage not in ("eval", "checks")
        if not wanted or path.is_dir() or copy.exists():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, copy)
    (target / ".lock").touch()  # what tells a run directory from a folder of other things


def forget_weights(folder: Path, keep: Sequence[str]) -> None:
    """Delete the weights of all models but those named."""
    for model in sorted(folder.glob("M*")):
        if model.name not in keep:
            shutil.rmtree(model / "model", ignore_errors=True)
            shutil.rmtree(model / "engine", ignore_errors=True)


def plan(arms: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """Which runs, in which order: the first seed of every arm in the order given, then the other seeds."""
    first, *others = seeds
    repeated = [(name, seed) for seed in others for name in arms if ARMS[name].every_seed]
    return [(name, first) for name in arms] + repeated


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"))
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "verifiable-cpu.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--keep-weights", action="store_true")
    parser.add_argument("--table", action="store_true", help="run nothing: tables and plot of what is there")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, seed in [] if options.table else plan(options.arms, options.seeds):
        wanted = min(options.iterations, ARMS[name].iterations or options.iterations)
        have: set[Measured] = measured(options.out)
        if all((name, seed, f"M{t}") in have for t in range(2, wanted + 2)):
            continue
        source = ARMS[name].m1_of
        if source is not None and not (options.out / f"{source}-s{seed}" / "M1" / "model").is_dir():
            run_arm(source, seed, options)
        folder = run_arm(name, seed, options)
        lent = ("M0", "M1") if source is not None and ARMS[name].shares_eval else ()
        record(options.out, name, seed, folder, PROMPTS, lent)
        if not options.keep_weights:
            lends = any(arm.m1_of == name for arm in ARMS.values())
            last = [f"M{wanted + 1}"] if name == MAIN else []
            forget_weights(folder, ["M0", "M1", *last] if lends else [])
    show(options.out, {name: arm.what for name, arm in ARMS.items()})


if __name__ == "__main__":
    main()
