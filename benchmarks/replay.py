"""Does replaying EFT rows keep a judge that preference training would lose?

    python benchmarks/replay.py RUN [--trees FILE] [--learning-rate 3e-4] [--epochs 3] [--replay 0.25] [--pairs 48]
                                [--out FILE.json]

RUN is a run directory with an M1 that learned to write judgements (`judgeloop run configs/oasst-cpu.yaml --set
iterations=0`). That M1 is trained on best and worst replies of other Open Assistant sets twice: by plain DPO, and by
DPO with a share of the run's EFT rows in every batch; pairs, order and step size are the same. M1 and both results then
judge the run's held-out replies in writing, three times each: the share of judgements with a score that can be read,
the mean score, and agreement with the human ranks (pairwise, ties half), with 95% bootstrap intervals.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from judgeloop.config import EngineSection, JudgeSection, TrainSection
from judgeloop.engines import open_engine
from judgeloop.evaluation.agreement import pairwise_accuracy
from judgeloop.evaluation.statistics import mean_interval
from judgeloop.jsonl import read_rows, write_text_atomically
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pointwise import ToJudge, judge
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import PreferencePair, RankedSet, SupervisedRow
from losses import split

SEED, SAMPLES = 0, 3


def trained(first: Path, output: Path, pairs: list[PreferencePair], changes: dict[str, Any]) -> None:
    """The run's M1 trained on the pairs."""
    from judgeloop.training.preference import train_preference

    config = TrainSection.model_validate({"loss": "dpo", "checkpoint_steps": None, **changes})
    train_preference(
        pairs, initial=first / "model", reference=first / "model", output=output, chat=Chat.load(first / "model"),
        token_ids={}, config=config, seed=SEED, threads=None, on_progress=lambda _done, _total: None,
        on_metrics=lambda _values: None,
        eft=read_rows(first / "eft.jsonl", SupervisedRow) if config.eft_replay else [],
    )  # fmt: skip


def judged(run: Path, model: Path) -> dict[str, Any]:
    """What the model writes as a judge of the run's held-out replies."""
    rubric = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["judge"]["rubric"]
    sets = read_rows(run / "M1" / "held_out.jsonl", RankedSet)
    items = [
        ToJudge(f"{entry.id}.{k}", entry.messages, response["text"])
        for entry in sets
        for k, response in enumerate(entry.responses)
    ]
    config = JudgeSection.model_validate({"scoring": "sampled", "samples": SAMPLES, "sampling": {"max_new_tokens": 32}})
    chat = Chat.load(model)
    with tempfile.TemporaryDirectory() as work:
        engine = open_engine(EngineSection(), model, chat, work_dir=Path(work), threads=None, seed=SEED)
        rows = list(judge(engine, chat, load_rubric(rubric), config, items, SEED))
        engine.close()
    means = mean_scores(rows)
    agreements = [
        pairwise_accuracy(
            [means.get(f"{entry.id}.{k}") for k in range(len(entry.responses))],
            [float(response["rank"]) for response in entry.responses],
            ties="half",
        )
        for entry in sets
    ]
    figures = {
        "parsed": mean_interval([float(row.score is not None) for row in rows], seed=SEED),
        "score": mean_interval([mean for mean in means.values() if mean is not None], seed=SEED),
        "agreement": mean_interval([share for share in agreements if share is not None], seed=SEED),
    }
    unread = next((row.text for row in rows if row.score is None), rows[0].text)
    return {name: found.as_dict() if found else None for name, found in figures.items()} | {"wrote": unread[:60]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--trees", type=Path, default=Path("../shared/data/oasst_en_100_trees.jsonl"))
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--replay", type=float, default=0.25)
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--longest", type=int, default=320, help="tokens of prompt and response")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    first = options.run / "M1"
    held_out = {entry.id for entry in read_rows(first / "held_out.jsonl", RankedSet)}
    usable, _ = split(options.trees, Chat.load(first / "model"), options.longest, 10**6, 0)
    pairs = [pair for pair in usable if pair.prompt_id not in held_out][: options.pairs]
    plain = {"learning_rate": options.learning_rate, "epochs": options.epochs, "batch_size": 8}
    arms = {"DPO": plain, f"DPO, eft_replay {options.replay}": {**plain, "eft_replay": options.replay}}
    results: dict[str, Any] = {}

    def tell(name: str, found: dict[str, Any]) -> None:
        results[name] = found
        parsed, score, agreement = (
            "-" if found[part] is None else "{value:.3f} ({low:.3f}-{high:.3f})".format(**found[part])
            for part in ("parsed", "score", "agreement")
        )
        print(f"{name:<22}{parsed:<23}{score:<23}{agreement:<23}{found['wrote']!r}", flush=True)
        if options.out:
            write_text_atomically(options.out, json.dumps(results, indent=1))

    print(f"{len(pairs)} pairs\n{'model':<22}{'parsed':<23}{'mean score':<23}{'agreement':<23}wrote", flush=True)
    tell("M1", judged(options.run, first / "model"))
    for name, changes in arms.items():
        with tempfile.TemporaryDirectory() as work:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # its memory is gone afterwards
                pool.submit(trained, first, Path(work) / "model", pairs, changes).result()
            tell(name, judged(options.run, Path(work) / "model"))


if __name__ == "__main__":
    main()
