"""What an iteration costs on so many GPUs, and how long they wait: a simulation of the loop's schedule.

    python benchmarks/schedule.py configs/qwen3-8b-8gpu.yaml --gpus 8 --write 3000 --read 20000 --train 4000

The rates are yours to measure: tokens a second that one engine writes and reads when it is full, and that one GPU
trains. All else is in the config. Lengths of responses are drawn (log-normal, cut at the config's limit). Requests
go out in batches as `compute.cluster_engine` does it; while models train, no engine runs, and the other way round.
What is simulated is the waiting: for the last responses of a stage, for the rounds of the search for prompts
(`prompts.requests_per_round`), for models that load. Networks, failures and the first compilation are not in it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

from judgeloop.config import Config, load
from judgeloop.instructions.search import BATCH

_MOST = 4096  # requests of one batch, as in compute.cluster_engine


@dataclass(frozen=True)
class Rates:
    """Tokens a second: `write` and `read` of one full engine, `train` of one GPU. `load`: seconds until an engine, or a
    training, has its model. `slots`: sequences at once in an engine."""

    write: float
    read: float
    train: float
    load: float
    slots: int


@dataclass(frozen=True)
class Cost:
    """Of one stage. `busy`: the share of the GPUs' time in which they do what the stage is for."""

    stage: str
    tokens: int
    seconds: float
    busy: float


def written(lengths: Sequence[int], engines: int, rates: Rates) -> float:
    """Seconds until all responses are written, without loading. A sequence runs at the speed that it has in a full
    engine; the speed of one that is alone differs by engine, so the wait for the last ones is an upper bound."""
    speed = rates.write / rates.slots
    left = list(reversed(lengths))
    free = [(0.0, engine) for engine in range(engines)]
    heapq.heapify(free)
    end = 0.0
    while left:
        now, engine = heapq.heappop(free)
        each = len(left) / engines
        size = min(_MOST, len(left), max(min(rates.slots, math.ceil(each)), math.ceil(each / 2)))
        slots = [now] * min(rates.slots, size)
        for _ in range(size):
            heapq.heappush(slots, heapq.heappop(slots) + left.pop() / speed)
        done = max(slots)
        end = max(end, done)
        heapq.heappush(free, (done, engine))
    return end


def lengths(count: int, mean: float, limit: int, draw: random.Random) -> list[int]:
    """Log-normal with a σ of 0.7, which responses of chat models have roughly; those at the limit are cut."""
    sigma = 0.7
    return [max(1, min(limit, int(draw.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)))) for _ in range(count)]


def rounds_of(requests: int, most: int) -> list[int]:
    """The sizes of the search's rounds, as `instructions.search` has them, if every other request gives a prompt."""
    sizes = []
    while requests:
        sizes.append(min(requests, most, max(BATCH, requests // 2)))
        requests -= sizes[-1]
    return sizes


def iteration(config: Config, gpus: int, mean: float, rates: Rates) -> list[Cost]:
    """The stages of one iteration, from prompts to the trained model."""
    draw = random.Random(config.seed)
    each = config.compute.gpus_per_engine or 1
    engines = max(1, gpus // each)
    prompts, count = config.prompts.count, config.candidates.count
    costs = []

    def writes(stage: str, batch: Sequence[int], read: int, rounds: Sequence[int] = ()) -> None:
        seconds = rates.load + read / (rates.read * engines)
        ends = list(accumulate(rounds or (len(batch),)))
        seconds += sum(written(batch[k:end], engines, rates) for k, end in zip([0, *ends], ends, strict=False))
        ideal = sum(batch) / (rates.write * engines) + read / (rates.read * engines)
        costs.append(Cost(stage, sum(batch) + read, seconds, ideal / seconds))

    if config.prompts.source != "file":
        asked = lengths(2 * prompts, 40, config.prompts.sampling.max_new_tokens, draw)  # half are left out, say
        writes("prompts", asked, 300 * len(asked), rounds_of(len(asked), config.prompts.requests_per_round))
    answers = lengths(prompts * count, mean, config.candidates.sampling.max_new_tokens, draw)
    writes("candidates", answers, 60 * prompts)
    shown = sum(answers) + 500 * len(answers)  # the rubric's common part is read once, its question each time
    if config.judge.scoring == "sampled":
        judged = lengths(len(answers) * config.judge.samples, 120, config.judge.sampling.max_new_tokens, draw)
        writes("judging", judged, shown)
    else:
        seconds = rates.load + shown / (rates.read * engines)
        costs.append(Cost("judging", shown, seconds, 1 - rates.load / seconds))
    pairs = int(0.7 * prompts)
    trained = int(pairs * 2 * (sum(answers) / len(answers) + 60) * config.train.epochs)
    ideal = trained / (rates.train * gpus) * 4 / 3  # the reference reads what training reads: a third of its work
    seconds = rates.load + ideal
    costs.append(Cost("training", trained, seconds, ideal / seconds))
    return costs


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--gpus", type=int, nargs="+", default=[8])
    parser.add_argument("--write", type=float, required=True, help="tokens a second that one engine writes")
    parser.add_argument("--read", type=float, required=True, help="tokens a second that one engine reads")
    parser.add_argument("--train", type=float, required=True, help="tokens a second that one GPU trains")
    parser.add_argument("--load", type=float, default=60.0, help="seconds that a model takes to load")
    parser.add_argument("--mean", type=float, default=300.0, help="tokens of a response")
    parser.add_argument("--prompts", type=int, help="in place of prompts.count")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    changes = [f"prompts.count={given.prompts}"] if given.prompts else []
    config = load(given.config, changes)
    rates = Rates(given.write, given.read, given.train, given.load, config.engine.max_sequences)
    found = {gpus: iteration(config, gpus, given.mean, rates) for gpus in given.gpus}
    if given.json:
        print(json.dumps({gpus: [asdict(cost) for cost in costs] for gpus, costs in found.items()}, indent=1))
        return
    for gpus, costs in found.items():
        total = sum(cost.seconds for cost in costs)
        busy = sum(cost.seconds * cost.busy for cost in costs) / total
        print(f"{gpus} GPUs: {total / 60:.1f} min an iteration, {total * gpus / 3600:.1f} GPU hours, busy {busy:.0%}")
        for cost in costs:
            print(
                f"  {cost.stage:<11}{cost.tokens:>14,} tokens {cost.seconds / 60:9.1f} min "
                f"{cost.seconds / total:5.0%} of the time, busy {cost.busy:.0%}"
            )


if __name__ == "__main__":
    main()
