"""Write a run directory as a real run leaves it, with made-up figures: for tests, and to look at the report by eye.

By hand: `PYTHONPATH=src:tests python tests/report/make_run.py FOLDER`.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import sys
from pathlib import Path
from typing import Any

from judgeloop.config import parse
from judgeloop.evaluation.ground_truth import CheckedResponse, ground_truth
from judgeloop.evaluation.health import judge_health
from judgeloop.evaluation.measures import Duel, measures
from judgeloop.evaluation.metrics import EvaluatedPrompt, Measured, metric_block
from judgeloop.evaluation.win_rates import Preferred
from judgeloop.instructions.diversity import diversity
from judgeloop.jsonl import to_line

HOSTILE = "</script><script>window.hacked = true</script><img src=x onerror=\"hacked=1\"> {{ 7 * 7 }} & 'quotes'"
MODELS = ("M0", "M1", "M2", "M3")
PROMPTS = (
    "Explain to a ten-year-old why the sky is blue, in three sentences.",
    "Write a packing list for a weekend of hiking in the rain.",
    "What is the difference between a virus and a bacterium?",
    "把下面这句话翻译成英文：昨天晚上下了一场大雨。",
    "Suggest five names for a bakery that is open at night.\n\nEach name needs a reason.",
)
SEED_PROMPTS = (
    "Why do stars twinkle?", "Write a letter to a landlord about a broken window.", "How do I keep a cactus alive?",
    "Write a recipe for lentil soup.", "Give me three reasons to learn to sew.", "What is a sonnet?",
    "How does a vaccine work?", "Write two lines that rhyme about rain, and then explain in detail how they rhyme.",
)  # fmt: skip
PLAN = {
    "model": "find the weights", "seed": "read the seed", "sft": "supervised fine-tuning", "prompts": "new prompts",
    "candidates": "candidates", "judge": "judgements", "pairs": "preference pairs", "train": "preference training",
    "eval": "evaluation", "checks": "ground truth by your own code",
}  # fmt: skip
WORDS = ("the", "light", "of", "day", "is", "scattered", "by", "small", "parts", "and", "blue", "goes", "further")


def make_run(run: Path, models: tuple[str, ...] = MODELS, *, improving: bool = True, sampled: bool = False,
             checked: bool = False) -> Path:  # fmt: skip
    """A finished run with the given models. Not `improving`: scores and length rise, nothing else does. `checked`: the
    user's own code measured ground truth."""
    rng = random.Random(7)
    tree: dict[str, Any] = {"seed_data": {"ift": ["seed.jsonl"]}, "iterations": max(0, len(models) - 2)}
    config = parse(tree | ({"evaluation": {"checker": "check.py"}} if checked else {}), "test")
    _text(run / "config.yaml", config.resolved_yaml())
    _json(run / "run.json", {"judgeloop": "0.1.0", "format": 2, "method": "loop", "models": models, "seed": 0,
                             "started": "2026-05-03T10:12:45+00:00"})  # fmt: skip
    for name in models:
        if name == "M0":
            _json(run / "M0/model.json", _identity("M0"))
            _done(run, "M0", "model", 4.2)
        elif name == "M1":
            _first(run)
        else:
            _iteration(run, name, rng, sampled)
        _evaluation(run, name, rng, improving)
    if checked:
        _checks(run, models, random.Random(11), improving)
    return run


def leave_unfinished(run: Path, model: str = "M3") -> Path:
    """Take a finished run back to the moment of a crash in the judging of `model`, its last row half written."""
    for file in ("judge.json", "pairs.jsonl", "pairs.json", "train.json", "eval.json"):
        (run / model / file).unlink()
    for stage in ("judge", "pairs", "train", "eval"):
        (run / model / f".{stage}.done.json").unlink()
    _json(run / model / ".judge.begun.json", {"stage": "judge", "fingerprint": "0" * 16, "seconds": 3.5})
    judgements = run / model / "judgements.jsonl"
    judgements.write_bytes(judgements.read_bytes()[:-40])
    metrics = run / "metrics.jsonl"
    kept = [line for line in metrics.read_text(encoding="utf-8").splitlines(keepends=True) if f'"{model}"' not in line]
    metrics.write_text("".join(kept) + '{"model":"M3","sta', encoding="utf-8")
    return run


def _identity(name: str) -> dict[str, str]:
    path = "/cache/smollm2-135m-instruct" if name == "M0" else f"{name}/model"
    return {"name": name, "path": path, "hash": hashlib.sha256(name.encode()).hexdigest()}


def _first(run: Path) -> None:
    accounts = {
        "detected": ["trees.jsonl: Open Assistant trees, 100 rows"], "taken": 412,
        "dropped": {"other language": 58, "fewer than two ranked replies": 31},
        "ift": 233, "eft": 640, "held_out": 64,
    }  # fmt: skip
    _json(run / "M1/seed.json", accounts)
    _rows(run / "M1/ift.jsonl", [])
    _metrics(run, "M1", "sft", [2.1 * math.exp(-k / 25) + 0.9 for k in range(1, 55)])
    _train(run, "M1", 873, None, "M0", (2.91, 1.13), 61.0)
    _done(run, "M1", "seed", 1.8)
    _done(run, "M1", "sft", 61.0)


def _iteration(run: Path, name: str, rng: random.Random, sampled: bool) -> None:
    prompts = [{"id": f"p-{name}-{k}", "messages": [{"role": "user", "content": t}], "source": "few_shot"}
               for k, t in enumerate((*PROMPTS, HOSTILE))]  # fmt: skip
    candidates, judgements, pairs = [], [], []
    for prompt in prompts:
        texts = [" ".join(rng.choices(WORDS, k=rng.randint(12, 60))).capitalize() + "." for _ in range(4)]
        if prompt["messages"][0]["content"] == HOSTILE:
            texts[0] = texts[3] = HOSTILE
        scores = sorted((round(rng.uniform(0.6, 4.9), 4) for _ in range(4)), reverse=True)
        for k, (text, score) in enumerate(zip(texts, scores, strict=True)):
            cid = f"c-{prompt['id']}-{k}"
            candidates.append(
                {"id": cid, "prompt_id": prompt["id"], "text": text, "token_ids": [1, 2], "finish_reason": "stop"}
            )
            judgements += _judgements(cid, score, rng, sampled)
        answers = [[{"role": "assistant", "content": texts[k]}] for k in (0, 3)]
        pairs.append({
            "id": f"pair-{prompt['id']}", "prompt_id": prompt["id"], "prompt": prompt["messages"], "chosen": answers[0],
            "rejected": answers[1], "chosen_id": f"c-{prompt['id']}-0", "rejected_id": f"c-{prompt['id']}-3",
            "chosen_score": scores[0], "rejected_score": scores[3],
        })  # fmt: skip
    for file, rows in (("prompts", prompts), ("candidates", candidates), ("judgements", judgements), ("pairs", pairs)):
        _rows(run / name / f"{file}.jsonl", rows)
    _json(run / name / "prompts.json", {
        "asked": 96, "got": 231, "kept": 160, "seconds": 24.1,
        "dropped": {"ROUGE-L above 0.7": 49, "fewer than 3 words": 13, "cut off": 9},
        "samples": {"kept": [HOSTILE, {"instruction": PROMPTS[0], "input": "", "output": HOSTILE}],
                    "dropped": {"cut off": ["Write a list of", HOSTILE]}},
        "evaluation_sets": {"evaluation": {"prompts": 64, "seed_prompts_that_share_a_run": 2}},
        "diversity": diversity(SEED_PROMPTS, [*PROMPTS, HOSTILE, *PROMPTS[:int(name[1:]) - 2]], 0),
    })  # fmt: skip
    count = {"M2": 104, "M3": 118}.get(name, 60)
    _json(run / name / "pairs.json", {
        "prompts": 160, "pairs": count, "ties": 9,
        "dropped": {"within the margin": 147 - count, "fewer than two finished candidates": 4},
        "chosen_mean_characters": 301.2, "rejected_mean_characters": 288.9,
    })  # fmt: skip
    losses = [math.log(2) * (0.35 + 0.65 * math.exp(-k / 14)) + (rng.gauss(0, 0.02) if k else 0) for k in range(26)]
    _metrics(run, name, "train", losses)
    initial = f"M{int(name[1:]) - 1}"
    _train(run, name, count, initial, initial, (losses[0], losses[-1]), 116.0)
    scored = [[row["score"] for row in judgements if row["candidate_id"] == c["id"]] for c in candidates]
    means = [sum(read) / len(read) if (read := [s for s in row if s is not None]) else None for row in scored]
    health = judge_health(
        [means[k : k + 4] for k in range(0, len(means), 4)],
        [[len(c["text"]) for c in candidates[k : k + 4]] for k in range(0, len(means), 4)],
        seed=0, valid=[row["score"] is not None for row in judgements],
    )  # fmt: skip
    _json(run / name / "judge.json", {"judge": initial, "health": health.as_dict()})
    for stage, seconds in (("prompts", 24.1), ("candidates", 61.5), ("judge", 26.3), ("pairs", 0.1), ("train", 116.0)):
        _done(run, name, stage, seconds)


def _judgements(candidate: str, score: float, rng: random.Random, sampled: bool) -> list[dict[str, Any]]:
    row = {"candidate_id": candidate, "reason": None}
    if not sampled:
        weights = [math.exp(-((k - score) ** 2)) for k in range(6)]
        shares = [w / sum(weights) for w in weights]
        return [
            row | {"id": f"{candidate}.j0", "k": 0, "text": "", "score": score, "distribution": shares, "mass": 0.97}
        ]
    rows = []
    for k in range(3):
        text = f"The response is relevant and covers much of the question. {HOSTILE}\n\nScore: {round(score)}"
        unread = rng.random() < 0.1
        found = {"text": "I like it." if unread else text, "score": None if unread else float(round(score)),
                 "reason": "no score line" if unread else None}  # fmt: skip
        rows.append(row | {"id": f"{candidate}.j{k}", "k": k} | found)
    return rows


def _evaluation(run: Path, name: str, rng: random.Random, improving: bool) -> None:
    step = int(name[1:])
    mean = (2.1, 2.9, 3.3, 3.6)[min(step, 3)]
    size = (420, 260, 270, 280)[min(step, 3)] if improving else (420, 260, 380, 560)[min(step, 3)]
    skill = (0.5, 1.2, 1.4, 1.5)[min(step, 3)] if improving else 0.0
    answered = []
    for _ in range(64):
        level = rng.gauss(mean, 0.6)
        scores = [min(5.0, max(0.0, level + rng.gauss(0, 0.5))) if rng.random() > 0.02 else None for _ in range(2)]
        sizes = [max(20, int(rng.gauss(size, 60))) for _ in scores]
        cut = [rng.random() < (0.3 if step == 0 else 0.05) for _ in scores]
        answered.append(EvaluatedPrompt(sizes, [n // 4 for n in sizes], cut, scores))
    ranked = []
    for _ in range(60):
        ranks = list(range(rng.randint(2, 5)))
        ranked.append(
            ([min(5.0, max(0.0, 3 - skill * 0.5 * r + rng.gauss(0, 1.0))) for r in ranks], [float(r) for r in ranks])
        )
    duel = None
    if step:
        win = (0, 0.62, 0.55, 0.5)[min(step, 3)] if improving else 0.4
        orders: list[tuple[Preferred | None, Preferred | None]] = []
        for _ in range(64):
            better = rng.random() < win
            first: Preferred | None = "first" if better or rng.random() < 0.35 else "second"
            orders.append((first if rng.random() > 0.03 else None, "second" if better else "first"))
        scores = [a.scores[0] for a in answered], [a.scores[1] for a in answered]
        sizes = [a.characters[0] for a in answered], [a.characters[1] for a in answered]
        duel = Duel(f"M{step - 1}", orders, *scores, *sizes)
    found = measures(answered, seed=0, resamples=300, ranked=ranked, duel=duel)
    samples = [{"prompt": PROMPTS[0], "response": "Sunlight is made of many colours.", "score": 3.41},
               {"prompt": HOSTILE, "response": HOSTILE, "score": None}]  # fmt: skip
    found["metrics"] = metric_block("eval", Measured(found)) | own_metric(step)
    _json(run / name / "eval.json", {"model": name, "judge": name, **found, "samples": samples, "seconds": 44.0 + step})
    _done(run, name, "eval", 44.0 + step)


def own_metric(step: int) -> dict[str, Any]:
    """A metric that a user's plugin registered."""
    value = 0.6 - 0.12 * step
    versus = {"model": f"M{step - 1}", "value": {"value": -0.12, "low": -0.2, "high": -0.04, "n": 64}, "even": 0.0}
    return {"refusals": {
        "label": "refusals", "better": "lower", "share": True, "compare": "paired", "versus": versus if step else None,
        "value": {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 64},
    }}  # fmt: skip


def _checks(run: Path, models: tuple[str, ...], rng: random.Random, improving: bool) -> None:
    """Checks of 64 prompts by two rules, two responses each."""
    before: list[CheckedResponse] = []
    groups = {f"p{p}": ("ends with a question", f"no comma {HOSTILE}")[p % 2] for p in range(64)}
    hard = [rng.gauss(0, 0.2) for _ in range(64)]
    for name in models:
        rate = ((0.2, 0.55, 0.7, 0.85) if improving else (0.2, 0.7, 0.6, 0.4))[min(int(name[1:]), 3)]
        rows = [
            CheckedResponse(f"{name}.{p}.{k}", f"p{p}", True, {
                "passes": float(rng.random() < rate + hard[p]), "on topic": float(rng.random() < 0.8),
            })
            for p in range(64) for k in range(2)
        ]  # fmt: skip
        scores: dict[str, float | None] = {row.id: 3 + row.measures["passes"] + rng.gauss(0, 0.8) for row in rows}
        found = ground_truth(rows, seed=0, resamples=300, previous=before, scores=scores, groups=groups)
        previous = f"M{int(name[1:]) - 1}" if before else None
        found["metrics"] = metric_block("checks", Measured({**found, "previous": previous}))
        about = {"model": name, "checker": "check.py", "previous": previous, "judge": name, "group": "rule"}
        _json(run / name / "checks.json", {**about, **found, "seconds": 0.3})
        _done(run, name, "checks", 0.3)
        before = rows


def _train(
    run: Path, name: str, rows: int, reference: str | None, initial: str, losses: tuple[float, float], seconds: float
) -> None:
    _json(run / name / "train.json", {
        "name": name, "initial": _identity(initial), "reference": _identity(reference) if reference else None,
        "hash": _identity(name)["hash"], "rows": rows, "dropped": {"longer than max_length": 3},
        "steps": 26, "tokens": 41_230,
        "first_loss": losses[0], "last_loss": losses[1], "seconds": seconds,
    })  # fmt: skip


def _metrics(run: Path, model: str, stage: str, losses: list[float]) -> None:
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as handle:
        for step, loss in enumerate(losses, 1):
            handle.write(to_line({"model": model, "stage": stage, "step": step, "loss": loss, "learning_rate": 1e-5}))


def _done(run: Path, model: str, stage: str, seconds: float) -> None:
    marker = {"stage": stage, "fingerprint": "0" * 16, "settings": {}, "inputs": {}, "files": {}, "seconds": seconds}
    marker |= {"rows": 6}
    if stage in PLAN:
        marker |= {"title": PLAN[stage], "order": 100 * int(model[1:]) + list(PLAN).index(stage)}
    _json(run / model / f".{stage}.done.json", marker)


def _rows(path: Path, rows: list[dict[str, Any]]) -> None:
    _text(path, "".join(to_line(row) for row in rows))


def _json(path: Path, value: object) -> None:
    _text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    from judgeloop.report.page import write_reports

    folder = Path(sys.argv[1])
    whole = {"improving": False, "sampled": True, "checked": True}
    for label, kind in (("good", {}), ("checked", {"checked": True}), ("hacked", whole)):
        print(write_reports(make_run(folder / label, **kind)))
    print(write_reports(leave_unfinished(make_run(folder / "half"))))
