"""Make the files of the verifiable track: configs/verifiable/{seed,prompts,development,held_out_development,test,
held_out_test}.jsonl.

    python benchmarks/make_verifiable_seed.py [--model smollm2-135m-instruct] [--out configs/verifiable]

Each seed prompt gets up to five responses, scored by the track's checkers: one of the model's free answers to the bare
question, shortened; the same, mended by code until it keeps the rule, so that the two differ in the rule alone; a
degenerate one, made from it too; and the best and the worst of four samples of a model trained on the mended ones for
one epoch (thrown away). Then most of the degenerate ones, and a third answer that keeps the rule, give way to answers
that nearly keep it or keep another. Prompts are made by code. Everything is derived from fixed seeds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from judgeloop.config import SftSection
from judgeloop.data.readers import supervised_row
from judgeloop.engines.base import Request, Sampling
from judgeloop.engines.open_model import loaded
from judgeloop.jsonl import write_text_atomically
from judgeloop.models.resolve import resolve
from judgeloop.records import Message, derive_seed

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "configs" / "verifiable"))

from verifiable_misses import IGNORED, crossed, nearly
from verifiable_rules import HELD_OUT, short
from verifiable_topics import DEVELOPMENT, LOOP, SEED, TEST, topics
from verifiable_track import Task, degenerate, make_tasks, mended, on_topic, passes, points, relevant

SEED_TASKS, SAMPLES, MAX_TOKENS = 400, 4, 80
# File → topics, how many prompts, and the rules (None: those that are trained on).
PROMPT_FILES: Mapping[str, tuple[str, int, Sequence[str] | None]] = {
    "prompts": (LOOP, 1500, None),
    "development": (DEVELOPMENT, 160, None),
    "held_out_development": (DEVELOPMENT, 40, HELD_OUT),
    "test": (TEST, 240, None),
    "held_out_test": (TEST, 60, HELD_OUT),
}
Answers = list[tuple[str, bool]]  # (text, finished)


def answers(model: str, texts: Sequence[str], n: int, temperature: float, purpose: str) -> list[Answers]:
    """`n` samples for each prompt."""
    how = Sampling(MAX_TOKENS, temperature, 0.95)
    with loaded(model) as found:
        requests = [
            Request(
                str(k), tuple(found.chat.prompt_ids([{"role": "user", "content": text}])), how, n,
                derive_seed(purpose, k),
            )
            for k, text in enumerate(texts)
        ]  # fmt: skip
        made: list[Answers] = [[("", False)] * n for _ in texts]
        for generation in found.engine.generate(requests):
            text, finished = generation.text.strip(), generation.finish_reason == "stop"
            made[int(generation.request_id)][generation.index] = (text, finished)
    return made


def twins(task: Task, found: Answers) -> tuple[str, str] | None:
    """A free answer, shortened, mended and not; None where none can be mended."""
    for answer, _ in found:
        fixed = mended(task, answer, random.Random(derive_seed("mend", task.prompt)))
        if fixed is not None:
            return fixed, short(relevant(task, answer))
    return None


def throwaway(model: str, rows: Sequence[tuple[Task, str]], output: Path) -> None:
    """A model trained on mended answers alone, so that its samples keep the rules often but not always."""
    from judgeloop.models.chat import Chat
    from judgeloop.training.sft import train_sft

    folder = resolve(model).path
    asked: list[list[Message]] = [[{"role": "user", "content": task.prompt}] for task, _ in rows]
    given = [
        supervised_row("ift", prompt, prompt, text, "track") for prompt, (_, text) in zip(asked, rows, strict=True)
    ]
    train_sft(
        given,
        initial=folder,
        output=output,
        chat=Chat.load(folder),
        config=SftSection(learning_rate=1e-4, batch_size=8, micro_batch_size=8, checkpoint_steps=None),
        seed=0,
        threads=None,
        on_progress=lambda _done, _total: None,
        on_metrics=lambda _metrics: None,
    )


def seed_row(task: Task, pair: tuple[str, str] | None, samples: Answers) -> dict[str, Any] | None:
    """Mended, unmended and degenerate answer, best and worst sample, some made harder to judge, with their points; None
    where all are equal."""
    scored = {} if pair is None else {text: points(task, text) for text in pair}
    if pair is not None:
        text, done = degenerate(task, pair[0], random.Random(derive_seed("degenerate", task.prompt)))
        scored.setdefault(text, points(task, text, done))
    said = sorted(((points(task, text, done), text) for text, done in samples if text), key=lambda entry: -entry[0])
    for score, text in [*said[:1], *said[-1:]]:
        scored.setdefault(text, score)
    if len(set(scored.values())) < 2:
        return None
    scored = harder(task, scored, random.Random(task.prompt))
    levels = sorted(set(scored.values()), reverse=True)
    if len(levels) < 2:
        return None
    # The mended one stands before a sample as good.
    order = sorted(scored, key=lambda text: -scored[text])
    responses = [{"text": text, "rank": levels.index(scored[text]), "score": scored[text]} for text in order]
    return {"prompt": task.prompt, "responses": responses}


def harder(task: Task, scored: Mapping[str, int], rng: random.Random) -> dict[str, int]:
    """The responses, with a third one that keeps the rule replaced by one that keeps another, and the worst one often
    by one that nearly keeps it, or by one that keeps another."""
    texts = sorted(scored, key=lambda text: -scored[text])
    keepers = [text for text in texts if scored[text] == 5]
    ignoring = [text for text in texts if scored[text] == IGNORED]
    base = rng.choice(keepers[:2]) if keepers else None
    near = None if base is None else nearly(task, base, rng)
    other = crossed(task, rng.choice([*(ignoring or keepers)[:1], *([] if base is None else [base])] or texts[:1]), rng)
    made = dict(scored)
    if other is not None and len(keepers) > 2:
        del made[keepers[2]]
        made[other] = IGNORED
        other = None
    chance = rng.random()
    new = near if chance < (0.7 if other is None else 0.5) else other if chance < 0.8 else None
    if new is not None and new not in made and scored[texts[-1]] < 5:
        del made[texts[-1]]
        made[new] = IGNORED
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--out", type=Path, default=Path("configs/verifiable"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    for number, (name, (listed, count, rules)) in enumerate(PROMPT_FILES.items()):
        tasks = make_tasks(topics(listed), count, number + 1, *([] if rules is None else [rules]))
        plain = name == "prompts"  # the loop's own prompts tell nothing about their rule but the words
        write(options.out / f"{name}.jsonl", [{"prompt": t.prompt} if plain else t.row() for t in tasks])

    tasks = make_tasks(topics(SEED), SEED_TASKS, 0)
    free = answers(options.model, [task.question for task in tasks], 2, 0.7, "free")
    pairs = [twins(task, found) for task, found in zip(tasks, free, strict=True)]
    with tempfile.TemporaryDirectory() as work:
        fixed = [(task, pair[0]) for task, pair in zip(tasks, pairs, strict=True) if pair is not None]
        throwaway(options.model, fixed, Path(work) / "model")
        samples = answers(str(Path(work) / "model"), [task.prompt for task in tasks], SAMPLES, 0.9, "samples")
    made = [seed_row(task, pair, found) for task, pair, found in zip(tasks, pairs, samples, strict=True)]
    rows = [row for row in made if row is not None]
    write(options.out / "seed.jsonl", rows)
    tell(tasks, samples, rows)


def tell(tasks: Sequence[Task], samples: Sequence[Answers], rows: Sequence[dict[str, Any]]) -> None:
    """Say what was made."""
    scores: Counter[int] = Counter(response["score"] for row in rows for response in row["responses"])
    asked = [(task, text, done) for task, found in zip(tasks, samples, strict=True) for text, done in found]
    passed: Counter[str] = Counter(task.rule for task, text, done in asked if passes(task, text, done))
    print(f"scores {dict(sorted(scores.items()))}; samples: {len(asked)}, passing {sum(passed.values())}, on topic "
          f"{sum(on_topic(task, text) for task, text, _ in asked)}; passing by rule {dict(passed)}")  # fmt: skip


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text_atomically(path, text)
    print(f"{path}: {len(rows)} rows, {len(text.encode()) / 1024:.0f} KiB", flush=True)


if __name__ == "__main__":
    main()
