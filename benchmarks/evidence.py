"""Does the loop improve the embedded model, by rules it never sees? Arms and controls, over several seeds.

    python benchmarks/evidence.py --recipe contrast+refresh --seeds 5 6 8 --iterations 3 [--threads 1]
    python benchmarks/evidence.py --dev --arms plain contrast contrast+near --define near judge.contrast.draw=near
    python benchmarks/evidence.py --table [--out FOLDER] [--against ARM]

Each arm (benchmarks/evidence_arms.py) is an ordinary `judgeloop run` of the config with a few keys changed. What it
would make as another arm of its seed made it is taken over from that one. Models are evaluated on prompts whose topics
occur in neither seed nor loop nor development set, and on a rule that occurs nowhere else: `--on fresh` (made for this
round, benchmarks/data), `test` (the shipped ones, of earlier rounds). `--dev` is for choosing: the development prompts
with two samples each. `--recipe` stands for a recipe, what was before, the recipe without each ingredient, its controls
and the ceiling.

Started again it goes on where it was: runs resume, and what was measured stays in OUT/rows.jsonl, one row for each
response. Several processes may work in one OUT at once, each with seeds of its own (`--threads 1`). Of a run that was
measured the weights of M1 and the last model stay, those of the other models while an arm that is asked for shares them
(`--keep-weights` keeps them all). `--table` runs nothing: it prints the tables and draws OUT/evidence.html from
OUT/rows.jsonl and OUT/models.jsonl. The rows behind docs/evidence.md are in benchmarks/results.
"""

from __future__ import annotations

import argparse
import fcntl
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from evidence_arms import INGREDIENTS, PLAIN, Arm, Arms, defined, recipe_arms
from evidence_rows import Measured, measured, record
from evidence_sharing import forget_weights, share, shared_models
from evidence_tables import show
from judgeloop.config import Config, load
from judgeloop.loop import method
from judgeloop.run.directory import RunDirectory

ROOT = Path(__file__).resolve().parent.parent
VERIFIABLE, DATA = ROOT / "configs" / "verifiable", ROOT / "benchmarks" / "data"
PROMPTS = {
    "fresh": (DATA / "fresh_test.jsonl", DATA / "fresh_held_out_test.jsonl"),
    "test": (VERIFIABLE / "test.jsonl", VERIFIABLE / "held_out_test.jsonl"),
    "development": (VERIFIABLE / "development.jsonl", VERIFIABLE / "held_out_development.jsonl"),
}


def changes(arm: Arm, seed: int, options: argparse.Namespace, base: bool) -> list[str]:
    """The keys of one run. `base`: M0 is measured too."""
    prompts = [path.resolve() for path in PROMPTS[options.on]]
    count = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in prompts)
    return [
        f"seed={seed}",
        *([f"threads={options.threads}"] if options.threads else []),
        f"evaluation.prompts=[{', '.join(map(str, prompts))}]",
        f"evaluation.count={count}",
        *([f"evaluation.samples={options.samples}"] if options.samples else []),
        f"evaluation.base={str(base).lower()}",
        "stop.worse=go_on",  # every model is wanted, better or not,
        "health.stop_on=[]",  # by whatever judge
        *arm.changes,
        f"iterations={steps_of(arm, options.iterations) * arm.each}",
    ]


def steps_of(arm: Arm, iterations: int) -> int:
    """How many steps an arm makes."""
    return min(iterations, arm.most or iterations)


def config_of(name: str, seed: int, options: argparse.Namespace) -> tuple[Config, list[str]]:
    """The config of a run, and what it changes. M0 is the same for every seed: one seed's arms measure it, those whose
    judge reads M0's answers as `plain` does."""
    base = measures_m0(options.out, seed)
    given = changes(options.known[name], seed, options, base=base)
    if base and name != PLAIN:
        plain = changes(options.known[PLAIN], seed, options, base=True)
        if _of_m0(load(options.config, given)) != _of_m0(load(options.config, plain)):
            given = changes(options.known[name], seed, options, base=False)
    return load(options.config, given), given


def measures_m0(out: Path, seed: int) -> bool:
    """Whether runs of this seed measure M0: those of the first seed to begin do, and go on to."""
    began = {(path.parts[-3], path.parts[-2]) for path in out.glob("*-s*/M[01]/.eval.*.json")}
    mine = {model for run, model in began if run.endswith(f"-s{seed}")}
    return "M0" in mine or not (mine or any(model == "M0" for _, model in began))


def _of_m0(config: Config) -> str | None:
    """The fingerprint of M0's evaluation; None if there is none."""
    steps = method(config)
    run = RunDirectory(Path("nowhere"), config, steps)
    return next((run.fingerprint_of(step) for step in steps if step.name == "M0/eval"), None)


def run_arm(name: str, seed: int, options: argparse.Namespace) -> Path:
    """Run one arm with one seed and return its run directory. Ends the benchmark if the run does not end well."""
    folder: Path = options.out / f"{name}-s{seed}"
    config, given = config_of(name, seed, options)
    taken = share(sorted(options.out.glob(f"*-s{seed}")), folder, config)
    if taken:
        print(f"{folder}: taken over from other arms: {', '.join(taken)}", flush=True)
    command = [sys.executable, "-m", "judgeloop", "run", str(options.config), "--out", str(folder)]
    for change in given:
        command += ["--set", change]
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(f"{folder}: ended with {done.returncode}; started again, the benchmark goes on from there")
    return folder


def wanted(name: str, seed: int, options: argparse.Namespace) -> bool:
    """Whether a model of the arm is still to be measured."""
    have: set[Measured] = measured(options.out)
    steps = steps_of(options.known[name], options.iterations)
    return not all((name, seed, f"M{t}") in have for t in range(1, steps + 2))


def keep(name: str, seed: int, options: argparse.Namespace) -> set[str]:
    """The models of a run whose weights stay: M1, the last one, and what arms still to run would make the same."""
    config, _ = config_of(name, seed, options)
    later = [config_of(other, seed, options)[0] for other in options.arms if wanted(other, seed, options)]
    last = f"M{config.iterations + 1}"
    return {"M0", "M1", last, *shared_models(config, later, options.out / f"{name}-s{seed}")}


def carry_out(options: argparse.Namespace) -> None:
    """Every arm of the first seed, then of the next one."""
    for seed, name in ((seed, name) for seed in options.seeds for name in options.arms):
        if not wanted(name, seed, options):
            continue
        folder = run_arm(name, seed, options)
        with (options.out / ".measured.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may measure another seed
            record(options.out, name, seed, folder, PROMPTS[options.on], options.known[name].each)
        if not options.keep_weights:
            forget_weights(folder, keep(name, seed, options))


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; `known` are the arms."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="default: runs/evidence, with --dev runs/evidence-dev")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "verifiable-cpu.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[5, 6, 8])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--arms", nargs="+", metavar="ARM", help=f"default: {PLAIN}, with --table all that were measured; main, plain, {', '.join(INGREDIENTS)}, or several joined by '+'")  # fmt: skip  # noqa: E501
    which.add_argument("--recipe", metavar="A+B", help="the arms that tell what this recipe's ingredients are worth")
    parser.add_argument("--define", nargs="+", action="append", default=[], metavar=("NAME", "KEY=VALUE"), help="an ingredient more")  # fmt: skip  # noqa: E501
    parser.add_argument("--iterations", type=int, default=3, help="steps after M1: 3 gives M1 to M4")
    parser.add_argument("--threads", type=int, help="CPU threads of each run")
    parser.add_argument("--on", choices=list(PROMPTS), default="fresh", help="what models are evaluated on")
    parser.add_argument("--samples", type=int, help="answers to each of these prompts; default: the config's")
    parser.add_argument("--dev", action="store_true", help="to choose by: --on development --samples 2")
    parser.add_argument("--keep-weights", action="store_true")
    parser.add_argument("--table", action="store_true", help="run nothing: tables and plot of what is there")
    parser.add_argument("--against", metavar="ARM", help="the arm that others are set against; default: main, else plain")  # fmt: skip  # noqa: E501
    options = parser.parse_args(arguments)
    if options.dev:
        options.on, options.samples = "development", options.samples or 2
    options.out = options.out or Path("runs") / ("evidence-dev" if options.dev else "evidence")
    try:
        options.known = Arms(defined(options.define))
        options.shown = options.arms  # None: all
        options.arms = recipe_arms(options.recipe) if options.recipe else options.arms or [PLAIN]
        for name in options.arms:
            options.known[name]
    except (KeyError, ValueError) as error:
        parser.error(str(error.args[0]))
    if find_spec("plotly") is None:  # said now, not after hours of runs
        parser.error("plotly, which draws the plot, is not installed: pip install -c constraints.txt -e '.[dev]'")
    return options


def main() -> None:
    options = parsed()
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.table:
        carry_out(options)
    with suppress(BrokenPipeError):
        show(options.out, options.known.what, options.against, options.shown if options.table else None)


if __name__ == "__main__":
    main()
