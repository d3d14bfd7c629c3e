"""Does replaying EFT rows keep a judge that preference training would lose?

    python benchmarks/replay.py RUN [--learning-rate 1e-4] [--epochs 2] [--replay 0.25] [--pairs 120] [--out FILE.json]

RUN is a finished or stopped run directory with M1 and the pairs of M2 (`judgeloop run configs/verifiable-cpu.yaml --set
iterations=1`). M1 is trained on those pairs twice, by plain DPO and by DPO with a share of EFT rows in every batch; the
pairs, their order and the step size are the same. M1 and both results then judge the same candidates in writing, three
times each: the share of judgements with a score that can be read, the mean score, and how often the judge scores the
response higher that the config's checker passes, over all pairs of candidates of one prompt of which one passes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from judgeloop.chat import Chat
from judgeloop.config import EngineSection, JudgeSection, TrainSection
from judgeloop.engines import open_engine
from judgeloop.evaluation.stats import mean_interval
from judgeloop.judging.judge import ToJudge, judge
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import (
    Candidate,
    Judgement,
    Message,
    PreferencePair,
    Prompt,
    SupervisedRow,
    read_rows,
    write_text_atomically,
)
from judgeloop.usercode import load_function

SEED, SAMPLES = 0, 3


def trained(run: Path, output: Path, count: int, changes: dict[str, Any]) -> None:
    """M1 of the run trained on the first `count` of M2's pairs."""
    from judgeloop.training.preference import train_preference

    first, pairs = run / "M1", read_rows(run / "M2" / "pairs.jsonl", PreferencePair)[:count]
    used = {name for pair in pairs for name in (pair.chosen_id, pair.rejected_id)}
    generated = [row for row in read_rows(run / "M2" / "candidates.jsonl", Candidate) if row.id in used]
    section = TrainSection.model_validate({"loss": "dpo", "max_length": 512, "checkpoint_steps": None, **changes})
    train_preference(
        pairs, initial=first / "model", reference=first / "model", output=output, chat=Chat.load(first / "model"),
        token_ids={row.id: row.token_ids for row in generated}, config=section, seed=SEED, threads=None,
        on_progress=lambda _done, _total: None, on_metrics=lambda _values: None,
        eft_loss=settings(run)["sft"]["eft_loss"],
        eft=read_rows(first / "eft.jsonl", SupervisedRow) if section.eft_replay else [],
    )  # fmt: skip


def settings(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    return found


def judged(run: Path, model: Path, count: int) -> dict[str, Any]:
    """What the model makes of the first `count` prompts' candidates, in writing."""
    prompts = {row.id: row.messages for row in read_rows(run / "M2" / "prompts.jsonl", Prompt)}
    asked = list(prompts)[:count]
    candidates = [row for row in read_rows(run / "M2" / "candidates.jsonl", Candidate) if row.prompt_id in set(asked)]
    chat, rubric = Chat.load(model), load_rubric(settings(run)["judge"]["rubric"])
    config = JudgeSection.model_validate({"scoring": "sampled", "samples": SAMPLES})
    items = [ToJudge(row.id, prompts[row.prompt_id], row.text, row.prompt_id) for row in candidates]
    with tempfile.TemporaryDirectory() as work:
        engine = open_engine(EngineSection(), model, chat, work_dir=Path(work), threads=None, seed=SEED)
        rows = list(judge(engine, chat, rubric, config, items, SEED))
        engine.close()
    scores: dict[str, list[float]] = {}
    for row in rows:
        if row.score is not None:
            scores.setdefault(row.candidate_id, []).append(row.score)
    means = {name: sum(found) / len(found) for name, found in scores.items()}
    figures = {
        "parsed": mean_interval([float(row.score is not None) for row in rows], seed=SEED),
        "score": mean_interval(list(means.values()), seed=SEED),
        "accuracy": mean_interval(right(run, prompts, candidates, means), seed=SEED),
    }
    return {name: found.as_dict() if found else None for name, found in figures.items()} | {"wrote": example(rows)}


def right(
    run: Path, prompts: dict[str, list[Message]], candidates: Sequence[Candidate], means: dict[str, float]
) -> list[float]:
    """1, 0.5 or 0 for each pair of one prompt's candidates of which one passes: what the judge's scores say of it."""
    truth = load_function(
        Path(settings(run)["evaluation"]["checker"]), "score(messages, response, finished)", "evaluation.checker"
    )
    passed = {c.id: truth(prompts[c.prompt_id], c.text, c.finish_reason == "stop") == 5 for c in candidates}
    return [
        (means[good.id] > means[bad.id]) + 0.5 * (means[good.id] == means[bad.id])
        for good in candidates
        for bad in candidates
        if good.prompt_id == bad.prompt_id and passed[good.id] and not passed[bad.id]
        and good.id in means and bad.id in means
    ]  # fmt: skip


def example(rows: Sequence[Judgement]) -> str:
    """The first judgement that cannot be read, or the first one."""
    return next((row.text for row in rows if row.score is None), rows[0].text)[:80]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--replay", type=float, default=0.25)
    parser.add_argument("--pairs", type=int, default=120, help="the first so many are trained on")
    parser.add_argument("--prompts", type=int, default=50, help="whose candidates are judged")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    plain = {"learning_rate": options.learning_rate, "epochs": options.epochs, "batch_size": 8, "micro_batch_size": 8}
    arms = {"DPO": plain, f"DPO, eft_replay {options.replay}": {**plain, "eft_replay": options.replay}}
    results: dict[str, Any] = {}

    def tell(name: str, found: dict[str, Any]) -> None:
        results[name] = found
        parsed, score, accuracy = (
            "-" if found[part] is None else "{value:.3f} ({low:.3f}-{high:.3f})".format(**found[part])
            for part in ("parsed", "score", "accuracy")
        )
        print(f"{name:<24}{parsed:<24}{score:<24}{accuracy:<24}{found['wrote']!r}", flush=True)
        if options.out:
            write_text_atomically(options.out, json.dumps(results, indent=1))

    print(f"{'model':<24}{'parsed':<24}{'mean score':<24}{'judge right':<24}wrote")
    tell("M1", judged(options.run, options.run / "M1" / "model", options.prompts))
    for name, changes in arms.items():
        with tempfile.TemporaryDirectory() as work:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # its memory is gone afterwards
                pool.submit(trained, options.run, Path(work) / "model", options.pairs, changes).result()
            tell(name, judged(options.run, Path(work) / "model", options.prompts))


if __name__ == "__main__":
    main()
