"""Make the quickstart's seed and evaluation prompts: configs/quickstart_seed.jsonl, configs/quickstart_eval.jsonl.

    python benchmarks/make_quickstart_seed.py MODEL_FOLDER [--out configs]

Responses are the model's own: free answers to the bare question, shortened and mended by code until they keep the
rule, and samples for the whole prompt as they came. The track's checkers score and rank them. Deterministic for one
model and one version of torch and transformers.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from verifiable_track import (
    EVAL_TOPICS,
    SEED_TOPICS,
    Task,
    complete,
    make_tasks,
    mended,
    on_topic,
    points,
    sentences_of,
    topics,
)

MAX_TOKENS = 90
SEED = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A sampled answer; `finished` where the model ended its turn itself."""

    text: str
    finished: bool


class Sampler:
    """The model, asked with its own chat template."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(str(folder), padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.bfloat16).eval()

    def answers(self, prompts: Sequence[str], n: int, temperature: float, batch: int = 24) -> list[list[Answer]]:
        """`n` samples for each prompt, with top-k 50 (top-p would sort the vocabulary at each step)."""
        results = []
        for start in range(0, len(prompts), batch):
            chats = [[{"role": "user", "content": prompt}] for prompt in prompts[start : start + batch]]
            texts = self.tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
            inputs = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
            with torch.inference_mode():
                output = self.model.generate(
                    **inputs, do_sample=True, temperature=temperature, top_k=50, num_return_sequences=n,
                    max_new_tokens=80, pad_token_id=self.tokenizer.pad_token_id,
                )  # fmt: skip
            new = output[:, inputs["input_ids"].shape[1] :]
            found = [
                Answer(text.strip(), bool((row == self.tokenizer.eos_token_id).any()))
                for row, text in zip(new, self.tokenizer.batch_decode(new, skip_special_tokens=True), strict=True)
            ]
            results += [found[i : i + n] for i in range(0, len(found), n)]
        return results

    def length(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))


def seed_row(
    task: Task,
    other: Task,
    free: Sequence[Answer],
    foreign: Sequence[Answer],
    tried: Sequence[Answer],
    sampler: Sampler,
) -> dict[str, object] | None:
    """One ranked row: the mended answer first; None where code could not mend any answer."""
    rng = random.Random(f"{SEED} {task.prompt}")
    best = None
    for answer in (*free, *tried):
        text = mended(task, answer.text, rng)
        if text is not None and sampler.length(text) <= MAX_TOKENS:
            best = text
            break
    if best is None:
        return None
    scored = {best: points(task, best)}

    def add(text: str, finished: bool) -> None:
        if text and text not in scored and sampler.length(text) <= MAX_TOKENS:
            scored[text] = points(task, text, finished)

    for answer in free:
        add(" ".join(sentences_of(answer.text)[:2]), True)
        if len(scored) > 1:
            break
    add(tried[0].text, tried[0].finished)
    kind = rng.choice((0, 0, 1, 2, 3))
    if kind == 0:  # keeps the rule, but speaks of something else
        moved = Task(other.topic, other.question, task.rule, task.wording, task.args)
        astray = mended(moved, foreign[0].text, rng)
        if astray is not None:
            add(astray, True)
    elif kind == 1:  # another topic and no rule
        add(" ".join(sentences_of(foreign[0].text)[:1]), True)
    elif kind == 2:  # broken off in the middle of a sentence
        words = best.split(" ")
        add(" ".join(words[: max(4, len(words) // 2)]), False)
    else:
        add(tried[-1].text, tried[-1].finished)
    order = sorted(scored, key=lambda text: -scored[text])
    levels = sorted(set(scored.values()), reverse=True)
    if len(levels) < 2:
        return None
    responses = [{"text": t, "rank": levels.index(scored[t]), "score": scored[t]} for t in order]
    return {"prompt": task.prompt, "responses": responses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path, help="folder of the embedded model")
    parser.add_argument("--out", type=Path, default=Path("configs"))
    options = parser.parse_args()
    torch.manual_seed(SEED)
    tasks = make_tasks(topics(SEED_TOPICS), SEED)
    sampler = Sampler(options.model)
    free = sampler.answers([task.question for task in tasks], 3, 0.4)
    tried = sampler.answers([task.prompt for task in tasks], 2, 0.8)
    rows = []
    for number, task in enumerate(tasks):
        step = (number + 5) % len(tasks)
        row = seed_row(task, tasks[step], free[number], free[step], tried[number], sampler)
        if row is None:
            print("left out:", task.prompt)
            continue
        rows.append(row)
    _write(options.out / "quickstart_seed.jsonl", rows)
    evaluation = make_tasks(topics(EVAL_TOPICS), SEED + 1)
    _write(
        options.out / "quickstart_eval.jsonl",
        [{"prompt": t.prompt, "topic": t.topic, "rule": t.rule, "args": t.args} for t in evaluation],
    )
    scores: Counter[int] = Counter()
    for row in rows:
        responses = row["responses"]
        assert isinstance(responses, list)
        scores.update(response["score"] for response in responses)
    raw = [answer for answers in tried for answer in answers]
    print(f"{len(rows)} prompts, scores {dict(sorted(scores.items()))}, {len(evaluation)} evaluation prompts")
    kept = sum(
        points(task, a.text, a.finished) == 5 for task, answers in zip(tasks, tried, strict=True) for a in answers
    )
    whole = sum(complete(a.text, a.finished) for a in raw)
    topical = sum(on_topic(task, a.text) for task, answers in zip(tasks, tried, strict=True) for a in answers)
    print(f"samples as they came: {len(raw)}, complete {whole}, on topic {topical}, all points {kept}")


def _write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    print(f"{path}: {len(rows)} rows, {len(text.encode()) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
