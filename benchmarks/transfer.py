"""Does what a run learnt reach prompts that nobody tuned it on? Real prompts of people, with paired intervals.

    python benchmarks/transfer.py RUN… [--models M1 M2 M3] [--parts ifeval agreement mt_bench] [--limit N]
                                  [--max-new-tokens 512] [--others 2] [--judge MODEL] [--threads N] [--out FOLDER]

For each model of each run (one a seed, as evidence.py made them with --keep-weights; all runs together in one table):

- ifeval: IFEval's prompts, answered greedily: instructions followed strictly, by prompt and by instruction.
- agreement: Open Assistant replies with human ranks, which a run of the verifiable track has never seen: how often the
  model as a judge orders two replies as people did (ties half), by its scores and by contrasts, against `--others`
  other prompts of the set.
- mt_bench: first questions of MT-Bench, sampled at 0.7: scores and contrasts by one judge for all models (`--judge`;
  default: each run's M1), answers that are finished, that do not go round in circles, and their tokens.

Differences are paired over prompts, between each model and the one before, and between contrasts and scores; of several
runs their mean. Answers and judgements are kept under OUT, by run and model, as they come: started again it asks for
what is missing. `--limit` takes the first N prompts of each part. Rows of other settings or other weights are refused:
they need another OUT.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from evidence_tables import text_of
from judgeloop.commands.engine_choice import engine_for
from judgeloop.commands.learnt import learnt_judge
from judgeloop.commands.players import judge_config
from judgeloop.config import ContrastSection
from judgeloop.data.readers import read_prompts, read_ranked
from judgeloop.engines.base import Request, Sampling
from judgeloop.engines.open_model import Loaded, loaded
from judgeloop.errors import InputError
from judgeloop.evaluation.agreement import pairwise_accuracy
from judgeloop.evaluation.ifeval_prompts import read_verifiable
from judgeloop.evaluation.statistics import Interval, ratio_interval
from judgeloop.evaluation.verifiable import InstructionChecker, followed
from judgeloop.jsonl import append_missing, read_rows
from judgeloop.judging.contrast import contrasts, draw_others, under_others
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pointwise import ToJudge, judge, judgement_id, judgements_each
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.resolve import resolve
from judgeloop.models.run_note import read_note
from judgeloop.records import Candidate, Judgement, Prompt, RankedSet, derive_seed
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.fitting import fitting

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "configs" / "verifiable"))

from verifiable_track import complete

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
FILES = {
    "ifeval": "ifeval_prompts.jsonl",
    "agreement": "oasst_en_100_trees.jsonl",
    "mt_bench": "mt_bench_questions.jsonl",
}
SEED = 0
# measure → model → run → prompt → (part, whole); a figure is the sum of the parts over the sum of the wholes.
Values = dict[str, tuple[float, float]]
Figures = dict[str, dict[str, dict[str, Values]]]


@dataclass
class Opened:
    """A model's folder, loaded when something is owed."""

    folder: str
    threads: int | None
    stack: ExitStack
    found: list[Loaded] = field(default_factory=list)

    def load(self) -> Loaded:
        if not self.found:
            engine = engine_for(read_note(resolve(self.folder).path), {})
            self.found.append(self.stack.enter_context(loaded(self.folder, engine=engine, threads=self.threads)))
        return self.found[0]


def answer(model: Opened, path: Path, prompts: Sequence[Prompt], how: Sampling) -> dict[str, Candidate]:
    """One answer to each prompt, by its id, appended to `path` as they come. Prompts that do not fit are left out."""

    def made(owed: list[Prompt]) -> Iterator[Candidate]:
        opened = model.load()
        asked, _ = fitting(model.folder, opened.chat, owed, how.max_new_tokens, path.stem)
        requests = [Request(prompt.id, ids, how, 1, derive_seed(SEED, path.stem, prompt.id)) for prompt, ids in asked]
        for row in opened.engine.generate(requests):
            thought, text = opened.chat.spoken(row.token_ids, row.text)
            yield Candidate(row.request_id, row.request_id, text, list(row.token_ids), row.finish_reason, thought)

    append_missing(path, Candidate, prompts, lambda prompt: [prompt.id], made, told(path))
    wanted = {prompt.id for prompt in prompts}
    return {row.id: row for row in read_rows(path, Candidate) if row.id in wanted}


def scores(model: Opened, path: Path, asked: Sequence[tuple[str, ToJudge]], prompts: Sequence[Prompt], others: int,
           weight: float) -> tuple[Mapping[str, float | None], Mapping[str, float | None]]:  # fmt: skip
    """Scores and contrasts of responses, each with the id of its prompt, by the judge that the model learnt to be."""
    config, learnt = judge_config(model.folder), learnt_judge(model.folder)
    rubric = load_rubric(config.rubric, config.language) if learnt is None else learnt.rubric_for(config)
    drawn = draw_others(prompts, ContrastSection(others=others), SEED, count=others, required="--others")
    items = [*(item for _, item in asked), *under_others(asked, drawn)]

    def made(owed: list[ToJudge]) -> Iterator[Judgement]:
        opened = model.load()
        return judge(opened.engine, opened.chat, rubric, config, owed, SEED)

    each = range(judgements_each(config))
    append_missing(path, Judgement, items, lambda item: [judgement_id(item.id, k) for k in each], made, told(path))
    means = mean_scores(read_rows(path, Judgement), config.min_valid)
    return means, contrasts(means, weight)


def told(path: Path) -> Any:
    """Say now and then how far a file is."""

    def say(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            print(f"  {path.parent.name}/{path.name}: {done} of {total}", file=sys.stderr, flush=True)

    return say


def ifeval(model: Opened, folder: Path, options: argparse.Namespace) -> dict[str, Values]:
    """Instructions followed strictly; those that cannot be checked are left out."""
    rows = read_verifiable(options.ifeval)[: options.limit]
    prompts = [Prompt(row.id, [{"role": "user", "content": row.prompt}], "IFEval") for row in rows]
    given = answer(model, folder / "ifeval.jsonl", prompts, Sampling(options.max_new_tokens))
    checker, found = InstructionChecker(), dict[str, Values]()
    for row in rows:
        if row.id not in given:
            continue
        checks = checker.check(row, given[row.id].text)
        known = [check for check in checks if check.strict is not None]
        if (whole := followed(checks)) is not None:
            found.setdefault("IFEval strict, prompts", {})[row.id] = (float(whole), 1.0)
        if known:
            kept = float(sum(bool(check.strict) for check in known))
            found.setdefault("IFEval strict, instructions", {})[row.id] = (kept, float(len(known)))
        cut = given[row.id].finish_reason == "length"
        found.setdefault("IFEval answers cut off", {})[row.id] = (float(cut), 1.0)
    return found


def agreement(model: Opened, folder: Path, options: argparse.Namespace) -> dict[str, Values]:
    """Pairs of replies that the model orders as people did, by scores and by contrasts."""
    ranked: list[RankedSet] = read_ranked(options.agreement)[0][: options.limit]
    prompts = [Prompt(row.id, row.messages, row.source) for row in ranked]
    asked = [
        (row.id, ToJudge(f"{row.id}.{k}", row.messages, response["text"]))
        for row in ranked
        for k, response in enumerate(row.responses)
    ]
    own, contrast = scores(model, folder / "agreement.jsonl", asked, prompts, options.others, options.weight)
    found: dict[str, Values] = {}
    for row in ranked:
        names, ranks = [f"{row.id}.{k}" for k in range(len(row.responses))], [float(r["rank"]) for r in row.responses]
        for measure, means in (("agreement by scores", own), ("agreement by contrasts", contrast)):
            right = pairwise_accuracy([means.get(name) for name in names], ranks, ties="half")
            if right is not None:
                found.setdefault(measure, {})[row.id] = (right, 1.0)
    return found


def mt_bench(model: Opened, folder: Path, options: argparse.Namespace, by: Opened) -> dict[str, Values]:
    """Answers to MT-Bench's first questions, as one judge scores them, and what code sees of them."""
    prompts = read_prompts(options.mt_bench)[0][: options.limit]
    given = answer(model, folder / "mt_bench.jsonl", prompts, Sampling(options.max_new_tokens, 0.7, 0.9))
    kept = [prompt for prompt in prompts if prompt.id in given]
    asked = [(p.id, ToJudge(p.id, p.messages, given[p.id].text)) for p in kept]
    own, contrast = scores(by, folder / "mt_bench.judged.jsonl", asked, kept, options.others, options.weight)
    found: dict[str, Values] = {}
    for prompt in kept:
        row = given[prompt.id]
        finished = row.finish_reason == "stop"
        values = {
            "MT-Bench, mean score": own.get(prompt.id),
            "MT-Bench, mean contrast": contrast.get(prompt.id),
            "MT-Bench, finished": float(finished),
            "MT-Bench, not degenerate": float(complete(row.text, finished=True)),
            "MT-Bench, tokens": float(len(row.token_ids)),
        }
        for measure, value in values.items():
            if value is not None:
                found.setdefault(measure, {})[prompt.id] = (value, 1.0)
    return found


def measure(options: argparse.Namespace) -> Figures:
    """Every figure of every model of every run, prompt by prompt."""
    figures: Figures = {}
    for run in options.runs:
        for name in options.models:
            weights = run / name / "model"
            if not (weights / "config.json").is_file():
                raise InputError(f"{weights}: is no model folder; make the run with --keep-weights, or set --models")
            folder = options.out / run.name / name
            refuse_other(folder / "weights.json", {"hash": resolve(str(weights)).hash})
            with ExitStack() as stack:
                model = Opened(str(weights), options.threads, stack)
                found: dict[str, Values] = {}
                for part in options.parts:
                    if part == "mt_bench":
                        by = str(options.judge or run / "M1" / "model")
                        judged = model if by == model.folder else Opened(by, options.threads, stack)
                        found |= mt_bench(model, folder, options, judged)
                    else:
                        found |= {"ifeval": ifeval, "agreement": agreement}[part](model, folder, options)
            for title, values in found.items():
                figures.setdefault(title, {}).setdefault(name, {})[run.name] = values
    return figures


def together(runs: Mapping[str, Values], other: Mapping[str, Values] | None = None) -> Interval | None:
    """A figure over the prompts that all runs have, or its paired difference from `other`; the runs' parts are added up
    prompt by prompt, and prompts are what is resampled."""
    mine = {run: values for run, values in runs.items() if other is None or run in other}
    sides = [*mine.values(), *(other[run] for run in mine if other is not None)]
    prompts = sorted(set.intersection(*(set(values) for values in sides))) if sides else []
    parts = [
        sum(values[p][0] - (other[run][p][0] if other is not None else 0.0) for run, values in mine.items())
        for p in prompts
    ]
    return ratio_interval(parts, [sum(values[p][1] for values in mine.values()) for p in prompts], seed=SEED)


def show(figures: Figures, models: Sequence[str]) -> None:
    """A table of the figures, of the steps between models, and of contrasts against scores, in Markdown."""
    titles = [*models, *(f"{b} − {a}" for a, b in pairwise(models))]
    if len(models) > 2:
        titles.append(f"{models[-1]} − {models[0]}")
    print(f"\n| | runs | prompts | {' | '.join(titles)} |\n|---|---|---|{'---|' * len(titles)}")
    for title, by_model in figures.items():
        known = [by_model.get(name, {}) for name in models]
        values = [together(runs) for runs in known]
        steps = [together(b, a) for a, b in pairwise(known)]
        if len(models) > 2:
            steps.append(together(known[-1], known[0]))
        share = title.startswith("agreement") or "strict" in title or title.endswith(("off", "finished", "degenerate"))
        scale, digits = (100, 1) if share else (1, 2)
        shown = [*(text_of(v, scale, digits) for v in values), *(text_of(v, scale, digits, True) for v in steps)]
        count = next((v.n for v in values if v is not None), 0)
        print(f"| {title}{', %' if share else ''} | {max(map(len, known))} | {count} | {' | '.join(shown)} |")
    own, contrast = (figures.get(f"agreement by {name}", {}) for name in ("scores", "contrasts"))
    gains = [together(contrast[name], own[name]) for name in models if name in contrast and name in own]
    if gains:
        empty = " | ".join("" for _ in titles[len(gains) :])
        print(f"| agreement, contrasts − scores, points | | | {' | '.join(text_of(v, 100, 1, True) for v in gains)} | "
              f"{empty} |")  # fmt: skip


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--models", nargs="+", default=["M1", "M2", "M3"])
    parser.add_argument("--parts", nargs="+", choices=list(FILES), default=list(FILES))
    parser.add_argument("--limit", type=int, help="the first N prompts of each part; default: all")
    parser.add_argument("--max-new-tokens", type=int, default=512)
    parser.add_argument("--others", type=int, default=2, help="other prompts that scores are set against")
    parser.add_argument("--weight", type=float, default=ContrastSection().weight, help="λ of contrasts")
    parser.add_argument("--judge", help="who scores the answers to MT-Bench's questions; default: each run's M1")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs") / "transfer")
    for part, name in FILES.items():
        parser.add_argument(f"--{part.replace('_', '-')}", type=Path, default=DATA / name, metavar="FILE")
    return parser.parse_args(arguments)


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """What rows under OUT are made with. λ is none of it: contrasts are taken of what is there."""
    mine = {key: getattr(options, key) for key in ("limit", "max_new_tokens", "others", "judge")}
    return mine | {part: str(getattr(options, part).resolve()) for part in FILES}


def refuse_other(file: Path, mine: Mapping[str, Any]) -> None:
    """Note what rows are made with; raise InputError if those that are there were made with something else."""
    if file.exists() and (before := read_json(file)) != mine:
        changed = ", ".join(key for key in mine if before.get(key) != mine[key])
        raise InputError.at(file, None, f"rows here were made with another {changed}", "choose another --out")
    write_json(file, mine)


def main() -> None:
    options = parsed()
    try:
        refuse_other(options.out / "settings.json", settings(options))
        show(measure(options), options.models)
    except InputError as error:
        sys.exit(f"transfer.py: {error}")


if __name__ == "__main__":
    main()
