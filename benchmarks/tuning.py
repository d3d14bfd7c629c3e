"""Train one model of a run of the verifiable track anew under other keys, and measure it: for choosing a recipe.

    python benchmarks/tuning.py RUN/M3 [--set train.KEY=VALUE pairs.KEY=VALUE …] [--prompts 320] [--samples 3]
                                [--work runs/tuning]

The candidates and judgements that the run made for the model are paired by the changed config, the model before it is
trained on them, and both answer fresh prompts about the *development* topics: no recipe is chosen by test prompts.
Printed: the pairs (right: the chosen answer passes and the rejected one fails; wrong: the other way round), the pass
rate before and after, their difference paired over prompts with its 95% interval, and passes by rule.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from judgeloop.config import Config, EngineSection
from judgeloop.config.loading import load
from judgeloop.engines import open_engine
from judgeloop.engines.base import Request, Sampling
from judgeloop.evaluation.statistics import mean_interval
from judgeloop.jsonl import read_rows
from judgeloop.models.chat import Chat
from judgeloop.records import Candidate, Judgement, PreferencePair, Prompt, SupervisedRow, derive_seed
from judgeloop.stages.context import sampling
from judgeloop.stages.contrast import pair_scores
from judgeloop.stages.solved import solved_rows
from judgeloop.stages.training import score_alone, to_imitate
from own_answers import pairs_of, rehearsed_told, told, truth_of

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "configs" / "verifiable"))

from verifiable_topics import DEVELOPMENT, topics
from verifiable_track import Task, make_tasks, passes

SEED = 77  # of the prompts measured on


def answer_rates(model: Path, tasks: Sequence[Task], samples: int, sampling: Sampling, work: Path) -> list[float]:
    """The share of each task's answers that pass."""
    chat = Chat.load(model)
    work.mkdir(parents=True, exist_ok=True)
    engine = open_engine(EngineSection(), model, chat, work_dir=work, threads=None, seed=SEED)
    requests = [
        Request(str(number), tuple(chat.prompt_ids([{"role": "user", "content": task.prompt}])), sampling, samples,
                derive_seed(SEED, "tuning", number))
        for number, task in enumerate(tasks)
    ]  # fmt: skip
    passed: dict[int, list[bool]] = defaultdict(list)
    for found in engine.generate(requests):
        number = int(found.request_id)
        passed[number].append(passes(tasks[number], found.text, found.finish_reason == "stop"))
    engine.close()
    return [statistics.mean(passed[number]) for number in range(len(tasks))]


def train(folder: Path, pairs: list[PreferencePair], config: Config, output: Path) -> None:
    """M_{t+1} from M_t, as the run's own stage would make it."""
    from judgeloop.training.preference import train_preference

    before = folder.parent / f"M{int(folder.name[1:]) - 1}" / "model"
    seed_rows = folder.parent / "M1"
    candidates = read_rows(folder / "candidates.jsonl", Candidate)
    token_ids = {row.id: row.token_ids for row in candidates}
    rehearsed: list[SupervisedRow] = []
    if config.train.solved_replay:
        _, own = pair_scores(config, read_rows(folder / "judgements.jsonl", Judgement))
        rehearsed = solved_rows(read_rows(folder / "prompts.jsonl", Prompt), candidates, own, pairs).rows
        print(rehearsed_told(rehearsed, [row for rows in truth_of(folder).values() for row in rows]), flush=True)
    train_preference(
        pairs, initial=before, reference=before, output=output, chat=Chat.load(before),
        token_ids=token_ids, config=config.train, seed=config.seed, threads=None,
        on_progress=lambda _done, _total: None, on_metrics=lambda _values: None,
        eft=read_rows(seed_rows / "eft.jsonl", SupervisedRow), score_alone=score_alone(config),
        ift=read_rows(seed_rows / "ift.jsonl", SupervisedRow), imitate=to_imitate(config.train, pairs),
        solved=rehearsed,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="a model's folder in a run directory, M2 or a later one")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="as in judgeloop run")
    parser.add_argument("--prompts", type=int, default=320)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/tuning"))
    options = parser.parse_args()
    folder: Path = options.model
    config = load(folder.parent / "config.yaml", options.set)
    tasks = make_tasks(topics(DEVELOPMENT), options.prompts, SEED)
    how = sampling(config.evaluation.sampling)

    score_alone(config)  # a rubric that is gone is said before anything is measured
    pairs = pairs_of(folder, config)
    print(f"{folder} {' '.join(options.set)}")
    print(told(pairs, truth_of(folder)), flush=True)

    before = folder.parent / f"M{int(folder.name[1:]) - 1}"
    cached = options.work / f"{folder.parent.name}-{before.name}-{options.prompts}x{options.samples}.json"
    if not cached.exists():
        found = answer_rates(before / "model", tasks, options.samples, how, options.work / "engine")
        cached.write_text(json.dumps(found), encoding="utf-8")
    base = json.loads(cached.read_text(encoding="utf-8"))
    output = options.work / "model"
    shutil.rmtree(output, ignore_errors=True)
    shutil.rmtree(options.work / "engine", ignore_errors=True)
    train(folder, pairs, config, output)
    rates = answer_rates(output, tasks, options.samples, how, options.work / "engine")
    gain = mean_interval([after - then for after, then in zip(rates, base, strict=True)], seed=SEED)
    assert gain is not None
    print(f"passes {statistics.mean(base):.3f} → {statistics.mean(rates):.3f}, "
          f"{100 * gain.value:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})")  # fmt: skip
    by_rule: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for task, then, after in zip(tasks, base, rates, strict=True):
        by_rule[task.rule].append((then, after))
    shown = (f"{rule} {statistics.mean(a for a, _ in v):.2f}→{statistics.mean(b for _, b in v):.2f}"
             for rule, v in sorted(by_rule.items()))  # fmt: skip
    print("; ".join(shown), flush=True)


if __name__ == "__main__":
    main()
