"""Each preference loss on real pairs: what it does to pairs it never saw.

    python benchmarks/losses.py [--trees FILE] [--losses dpo cringe …] [--pairs 52] [--held-out 64] [--epochs 1]
                                [--trained] [--run RUN/M2] [--set train.KEY=VALUE …] [--out FILE.json]

Best and worst reply of Open Assistant's ranked sets, both sides short enough; sets are split into training and held-out
ones. Each loss trains the embedded model in a process of its own, with the same pairs, order, step size and epochs.
Reported for the held-out pairs: how often the implied reward (the change of the response's log-probability) is
higher for the chosen response (0.5 before training), its margin, and what became of both likelihoods, in nats a
response, with 95% bootstrap intervals over pairs. `--trained` says the same of the pairs that were trained on.
`--run RUN/M2` takes instead the pairs that a run made for M2, the model's own answers, and trains the model before it.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from judgeloop.config import EngineSection
from judgeloop.config.choices import LOSSES as CHOICES
from judgeloop.config.loading import configure
from judgeloop.data.readers import read_ranked
from judgeloop.engines import open_engine
from judgeloop.engines.base import OptionRequest
from judgeloop.evaluation.statistics import mean_interval
from judgeloop.jsonl import read_rows, write_text_atomically
from judgeloop.models.chat import Chat
from judgeloop.models.resolve import resolve
from judgeloop.records import PreferencePair, derive_seed
from training import ranked_pairs

SEED = 0
LOSSES: tuple[str, ...] = CHOICES.names()
EXTRA = {"exo_pair": {"label_smoothing": 0.001}, "robust": {"label_smoothing": 0.1}}


def split(trees: Path, chat: Chat, longest: int, count: int, held_out: int) -> tuple[list[PreferencePair], ...]:
    """Training and held-out pairs of different sets, no side above `longest` tokens with its prompt."""
    from judgeloop.training.data import pair_examples

    pairs = ranked_pairs(read_ranked(trees, turns="all")[0], everything=False)
    fits = {example.id for example in pair_examples(pairs, chat, longest, {}).examples}
    usable = [pair for pair in pairs if pair.id in fits]
    random.Random(derive_seed(SEED, "split")).shuffle(usable)
    return usable[:count], usable[count : count + held_out]


def own_pairs(made: Path, count: int, held_out: int) -> tuple[Path, tuple[list[PreferencePair], ...]]:
    """The folder of the model that wrote a run's pairs (RUN/M1/model for RUN/M2), and its pairs, split."""
    before = made.parent / f"M{int(made.name.removeprefix('M')) - 1}" / "model"
    pairs = read_rows(made / "pairs.jsonl", PreferencePair)
    random.Random(derive_seed(SEED, "split")).shuffle(pairs)
    return before, (pairs[:count], pairs[count : count + held_out])


def logprobs(folder: Path, chat: Chat, pairs: Sequence[PreferencePair]) -> list[tuple[float, float]]:
    """Log-probability of the chosen and of the rejected response, summed over their tokens."""
    engine = open_engine(
        EngineSection(kind="transformers", precision="f32"), folder, chat, work_dir=folder, threads=None, seed=SEED
    )
    requests = [
        OptionRequest(
            pair.id,
            tuple(chat.prompt_ids(pair.prompt)),
            (
                tuple(chat.response_ids(pair.chosen[0]["content"])),
                tuple(chat.response_ids(pair.rejected[0]["content"])),
            ),
        )
        for pair in pairs
    ]
    found = {result.request_id: result.logprobs for result in engine.option_logprobs(requests)}
    engine.close()
    return [(found[pair.id][0], found[pair.id][1]) for pair in pairs]


def trained(
    loss: str,
    folder: Path,
    pairs: Sequence[PreferencePair],
    measured_on: Sequence[PreferencePair],
    rate: float,
    epochs: float,
    changes: Sequence[str] = (),
) -> dict[str, Any]:
    """Train with one loss; log-probabilities of `measured_on` afterwards, and the training's own figures."""
    from judgeloop.training.preference import train_preference

    chat = Chat.load(folder)
    given = {"loss": loss, "learning_rate": f"{rate:f}", "epochs": epochs, "batch_size": 8, "checkpoint_steps": "null"}
    settings = {**given, **EXTRA.get(loss, {})}
    wanted = [f"train.{key}={value}" for key, value in settings.items()]
    section = configure(["seed_data.ranked=unused", *wanted, *changes], "--set").train
    steps: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as work:
        output = Path(work) / "model"
        summary = train_preference(
            pairs, initial=folder, reference=folder, output=output, chat=chat, token_ids={}, config=section, seed=SEED,
            threads=None, on_progress=lambda _done, _total: None, on_metrics=steps.append,
        )  # fmt: skip
        after = logprobs(output, chat, measured_on)
    return {"first_loss": summary.first_loss, "last_loss": summary.last_loss, "seconds": summary.seconds,
            "steps": steps, "after": after}  # fmt: skip


def measured(before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Reward accuracy, margin, and the change of either side, each with its interval."""
    chosen = [now[0] - then[0] for now, then in zip(after, before, strict=True)]
    rejected = [now[1] - then[1] for now, then in zip(after, before, strict=True)]
    margins = [c - r for c, r in zip(chosen, rejected, strict=True)]
    parts = {
        "reward accuracy": [(m > 0) + 0.5 * (m == 0) for m in margins],
        "margin": margins,
        "chosen": chosen,
        "rejected": rejected,
    }
    return {name: found.as_dict() for name, values in parts.items() if (found := mean_interval(values, seed=SEED))}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--trees", type=Path, default=Path("../shared/data/oasst_en_100_trees.jsonl"))
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--pairs", type=int, default=52)
    parser.add_argument("--held-out", type=int, default=64)
    parser.add_argument("--longest", type=int, default=384, help="tokens of prompt and response")
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--trained", action="store_true", help="measure on the pairs that were trained on")
    parser.add_argument("--run", type=Path, help="a model's folder in a run directory: its pairs instead of --trees'")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="train.KEY=VALUE", help="settings beside the loss's own"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.run is None:
        folder = resolve(options.model).path
        pairs, held_out = split(options.trees, Chat.load(folder), options.longest, options.pairs, options.held_out)
    else:
        folder, (pairs, held_out) = own_pairs(options.run, options.pairs, options.held_out)
    chat = Chat.load(folder)
    print(f"{len(pairs)} pairs to train on, {len(held_out)} held out", flush=True)
    measured_on = pairs if options.trained else held_out
    before = logprobs(folder, chat, measured_on)
    results = {}
    titles = f"{'reward accuracy':<22}{'margin':<24}{'chosen':>8}{'rejected':>9}{'s':>6}"
    print(f"{'loss':<14}{'first':>8}{'last':>8}  {titles}")
    for loss in options.losses:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # its memory is gone afterwards
            found = pool.submit(
                trained, loss, folder, pairs, measured_on, options.learning_rate, options.epochs, options.set
            ).result()
        shown = measured(before, found["after"])
        results[loss] = {**shown, **{key: found[key] for key in ("first_loss", "last_loss", "seconds", "steps")}}
        accuracy, margin = (shown[name] for name in ("reward accuracy", "margin"))
        print(
            f"{loss:<14}{found['first_loss']:>8.4f}{found['last_loss']:>8.4f}  "
            f"{accuracy['value']:.3f} ({accuracy['low']:.3f}-{accuracy['high']:.3f})   "
            f"{margin['value']:+6.2f} ({margin['low']:+.2f} to {margin['high']:+.2f})  "
            f"{shown['chosen']['value']:>+8.2f}{shown['rejected']['value']:>+9.2f}{found['seconds']:>6.0f}",
            flush=True,
        )
        if options.out:
            write_text_atomically(options.out, json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
