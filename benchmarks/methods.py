"""The seed's other methods at work on the embedded model: what each yields, and whether it helps.

    python benchmarks/methods.py [backtranslation] [sources] [meta] [--seed 1] [--threads N] [--out runs/methods]
                                 [--texts N] [--ifeval N] [--count 250] [--recipe ARM] [--dev] [--table]

- backtranslation: Instruction Backtranslation's two rounds to the end, from texts that code makes
  (backtranslation_texts.py, or `--texts-from FOLDER`) and Open Assistant seed rows: its yields by round, and M1 with
  and without its rows, on IFEval and as a judge on held-out human ranks. Once with the scores of the rubric, once with
  likelihoods, which are for models too small to score.
- sources: the verifiable track's loop on the same number of prompts from a file, written by few-shot, by Self-Instruct
  and by Unnatural Instructions: their yields, and M2 − M1 by rules that the loop never sees.
- meta: a judge that writes its judgements, with and without the meta-judge: judge pairs, and M2 − M1.

Each arm is one run with one seed; what arms make alike is made once. Started again it goes on where it was; `--table`
runs nothing. `--texts`, `--ifeval`, `--count` and `--samples` say how much work there is; `--recipe` (an arm of
evidence.py) is what the arms of sources and meta build on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import evidence
from evidence_sharing import share
from evidence_tables import show, text_of
from judgeloop.config import load
from judgeloop.evaluation.statistics import Interval, mean_interval
from judgeloop.jsonl import read_objects, read_rows
from judgeloop.records import Prompt
from judgeloop.run.json_artifacts import read_json

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
GROUPS = ("backtranslation", "sources", "meta")
BACKTRANSLATION: Mapping[str, Sequence[str]] = {
    "seed": (),
    "expected": ("backtranslation.curation.scoring=expected",),
    "likelihood": ("backtranslation.curation.scoring=likelihood", "backtranslation.max_copied=0.5"),
}
SOURCES = ("sized", "few_shot+sized", "self_instruct+sized", "unnatural+sized")
META = ("sampled+sized", "sampled+meta+sized")
MEASURES = {"IFEval strict, prompts": "ifeval", "agreement with human ranks": "agreement"}


def backtranslation(options: argparse.Namespace) -> None:
    """The runs of this group; those that are finished have nothing left to do."""
    texts = options.texts_from or options.out / "texts"
    if options.texts_from is None and not texts.is_dir():
        subprocess.run([sys.executable, str(ROOT / "benchmarks" / "backtranslation_texts.py"), str(texts)], check=True)
    for name, changes in BACKTRANSLATION.items():
        given = [
            f"seed={options.seed}", "iterations=0", f"seed_data.ranked={options.ranked}",
            f"evaluation.ifeval={options.ifeval_prompts}", f"evaluation.ifeval_count={options.ifeval}",
            f"evaluation.ifeval_max_new_tokens={options.max_new_tokens}", "health.stop_on=[]",
            *([f"threads={options.threads}"] if options.threads else []),
        ]  # fmt: skip
        if changes:
            given += [f"backtranslation.texts=[{texts.resolve()}]", "backtranslation.rounds=2", *changes]
        if changes and options.texts:
            given.append(f"backtranslation.segments.max_count={options.texts}")
        given += options.set
        folder = folder_of(name, options)
        config = load(options.seed_config, given)
        share([folder_of(other, options) for other in BACKTRANSLATION], folder, config)
        command = [sys.executable, "-m", "judgeloop", "run", str(options.seed_config), "--out", str(folder)]
        for change in given:
            command += ["--set", change]
        done = subprocess.run(command, check=False)
        if done.returncode:
            sys.exit(f"{folder}: ended with {done.returncode}; started again, the benchmark goes on from there")


def folder_of(name: str, options: argparse.Namespace) -> Path:
    folder: Path = options.out / f"backtranslation-{name}-s{options.seed}"
    return folder


def show_backtranslation(options: argparse.Namespace) -> None:
    """What each round kept, and M1 with the rows against M1 without them, paired over prompts."""
    print("\n| curation | texts | pairs | round | scored | kept | lowest kept | in both rounds |\n|---|---|---|---|---|---|---|---|")  # fmt: skip  # noqa: E501
    for name in BACKTRANSLATION:
        folder = folder_of(name, options) / "M1"
        account = read_json(folder / "backtranslation.json") if (folder / "backtranslation.json").exists() else None
        if account is None:
            continue
        kept = [ids(folder / f"curated.{t}.jsonl") for t in range(1, len(account["rounds"]) + 1)]
        for number, found in enumerate(account["rounds"], 1):
            again = len(kept[0] & kept[-1]) if number == len(account["rounds"]) > 1 else ""
            print(f"| {name} | {found['texts']} | {found['pairs']} | {number} | {found['scored']} | {found['kept']} | "
                  f"{found['lowest_kept']} | {again} |")  # fmt: skip
    plain = folder_of("seed", options)
    print("\n| | M0 | M1 of the seed | M1 with the rows | difference, points |\n|---|---|---|---|---|")
    for name in [name for name in BACKTRANSLATION if name != "seed"]:
        ours = folder_of(name, options)
        for title, metric in MEASURES.items():
            m0, without, with_rows = (of_model(*side, metric) for side in ((plain, "M0"), (plain, "M1"), (ours, "M1")))
            if with_rows:
                shown = " | ".join(text_of(interval(values.values()), 100, 1) for values in (m0, without, with_rows))
                both = [with_rows[p] - without[p] for p in with_rows if p in without]
                print(f"| {title}, {name} | {shown} | {text_of(interval(both), 100, 1, True)} |")


def ids(path: Path) -> set[str]:
    return {str(row["id"]) for _, row in read_objects(path)}


def of_model(run: Path, model: str, metric: str) -> dict[str, float]:
    """A metric of a model's evaluation by prompt; empty if it was not measured."""
    path = run / model / "eval.json"
    found = read_json(path)["metrics"].get(metric) if path.exists() else None
    return dict((found or {}).get("by_prompt", {}))


def interval(values: Any) -> Interval | None:
    return mean_interval([*values], seed=0)


def track(options: argparse.Namespace, arms: Sequence[str]) -> argparse.Namespace:
    """The command line of evidence.py for arms of the verifiable track."""
    given = ["--out", str(options.out / "track"), "--config", str(options.config), "--seeds", str(options.seed),
             "--iterations", "1", "--arms", *(on_recipe(arm, options) for arm in arms),
             "--define", "sized", f"prompts.count={options.count}"]  # fmt: skip
    given += ["--dev"] if options.dev else []
    given += ["--threads", str(options.threads)] if options.threads else []
    given += ["--samples", str(options.samples)] if options.samples else []
    return evidence.parsed(given)


def on_recipe(arm: str, options: argparse.Namespace) -> str:
    return f"{options.recipe}+{arm}" if options.recipe else arm


def run_track(options: argparse.Namespace, arms: Sequence[str]) -> None:
    asked = track(options, arms)
    asked.out.mkdir(parents=True, exist_ok=True)
    evidence.carry_out(asked)


def show_sources(options: argparse.Namespace) -> None:
    """How many requests and items each source needed, and how varied its prompts are."""
    print("\n| source | prompts | requests | instructions read | dropped | distinct first words | seconds |\n|---|---|---|---|---|---|---|")  # fmt: skip  # noqa: E501
    for arm in SOURCES:
        folder = options.out / "track" / f"{on_recipe(arm, options)}-s{options.seed}" / "M2"
        if not (folder / "prompts.json").exists():
            continue
        account = read_json(folder / "prompts.json")
        asked = [row.messages[-1]["content"] for row in read_rows(folder / "prompts.jsonl", Prompt)]
        openings = {text.split()[0].lower() for text in asked}
        dropped = "; ".join(f"{count} {reason}" for reason, count in account.get("dropped", {}).items() if count)
        print(f"| {arm} | {len(asked)} | {account.get('requests', '–')} | {account.get('got', '–')} | "
              f"{dropped or '–'} | {len(openings)} | {account['seconds']} |")  # fmt: skip


def show_meta(options: argparse.Namespace) -> None:
    """What became of the judgements that were compared."""
    found = options.out / "track" / f"{on_recipe(META[1], options)}-s{options.seed}" / "M2" / "judge_pairs.json"
    if found.exists():
        print(f"\nmeta-judge: {read_json(found)}")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; default: all")
    parser.add_argument("--out", type=Path, default=Path("runs") / "methods")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--table", action="store_true", help="run nothing: the tables of what is there")
    parser.add_argument("--texts", type=int, help="backtranslation: segments used; default: all")
    parser.add_argument("--texts-from", type=Path, help="backtranslation: a folder of texts; default: made by code")
    parser.add_argument("--ifeval", type=int, default=541, help="backtranslation: IFEval prompts")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="backtranslation: tokens of an IFEval answer")
    parser.add_argument("--seed-config", type=Path, default=ROOT / "configs" / "oasst-cpu.yaml")
    parser.add_argument("--ranked", type=Path, default=DATA / "oasst_en_100_trees.jsonl")
    parser.add_argument("--ifeval-prompts", type=Path, default=DATA / "ifeval_prompts.jsonl")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="backtranslation: for all its runs")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "verifiable-cpu.yaml")
    parser.add_argument("--count", type=int, default=250, help="sources, meta: new prompts")
    parser.add_argument("--recipe", help="sources, meta: an arm of evidence.py that theirs build on; default: plain")
    parser.add_argument("--samples", type=int, help="sources, meta: answers to each evaluation prompt")
    parser.add_argument("--dev", action="store_true", help="sources, meta: on the development prompts")
    options = parser.parse_args(arguments)
    if unknown := [group for group in options.groups if group not in GROUPS]:
        parser.error(f"no group '{unknown[0]}'; there are {', '.join(GROUPS)}")
    options.groups = options.groups or list(GROUPS)
    return options


def main() -> None:
    options = parsed()
    options.out.mkdir(parents=True, exist_ok=True)
    arms = [arm for group, mine in (("sources", SOURCES), ("meta", META)) if group in options.groups for arm in mine]
    if not options.table:
        if "backtranslation" in options.groups:
            backtranslation(options)
        if arms:
            run_track(options, arms)
    if "backtranslation" in options.groups:
        show_backtranslation(options)
    if "sources" in options.groups:
        show_sources(options)
    if "meta" in options.groups:
        show_meta(options)
    if arms:
        asked = track(options, arms)
        show(asked.out, asked.known.what, on_recipe(arms[0], options))


if __name__ == "__main__":
    main()
