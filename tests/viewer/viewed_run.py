"""Run directories to look at: a small one with hostile texts in its fields, and one of many rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from judgeloop.records import stable_id

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">{{ 7*7 }}&\'\x1b[31m'
QUESTIONS = ("Why is the sky blue?", "Name a bird.", "What is a sonnet?", HOSTILE)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def judged(candidate: str, score: float | None, text: str = "") -> dict[str, Any]:
    return {"id": f"{candidate}.j0", "candidate_id": candidate, "k": 0, "text": text, "score": score,
            "reason": None if score is not None else "no score line", "distribution": [0.1, 0.2, 0.3, 0.1, 0.2, 0.1],
            "mass": 0.98}  # fmt: skip


def make_viewed(run: Path, models: tuple[str, ...] = ("M1", "M2")) -> Path:
    """A finished run of these evaluated models; M2 has an iteration's rows, with prompts that gave no pair and one that
    a model wrote, whose pair was trained on."""
    names = ["M0", *models]
    (run / "M0").mkdir(parents=True)
    write_json(run / "run.json", {"judgeloop": "0.1.0", "format": 2, "method": "loop", "models": names, "seed": 3,
                                  "started": "2026-05-03T10:12:45+00:00"})  # fmt: skip
    (run / "config.yaml").write_text("model: tiny\nprompts: {source: few_shot}\n"
                                     "pairs: {rule: best_worst, margin: 0.5}\nevaluation: {prompts: []}\n")  # fmt: skip
    write_json(run / "M0/model.json", {"path": "/m", "hash": "f" * 64})
    write(run / "metrics.jsonl", [{"model": "M2", "stage": "train", "step": k, "loss": 1 / k} for k in range(1, 6)])
    held = [{"id": f"r-{k}", "messages": messages(q), "source": "seed.jsonl:1",
             "responses": [{"text": HOSTILE, "rank": 0}, {"text": "b", "rank": 1}]}
            for k, q in enumerate(QUESTIONS)]  # fmt: skip
    write(run / "M1/held_out.jsonl", held)
    write(run / "M1/ift.jsonl", [
        {"id": f"i-{k}", "kind": "ift", "prompt_id": f"q-{k}", "prompt": messages(f"Seed question {k}? {HOSTILE}"),
         "completion": [{"role": "assistant", "content": f"Seed answer {k}. {HOSTILE}"}], "source": f"seed.jsonl:{k}"}
        for k in range(1, 4)
    ])  # fmt: skip
    asked = [stable_id("p", messages(q)) for q in QUESTIONS]
    for number, model in enumerate(models, 1):
        answers = [{"id": f"{model}.{p}.0", "prompt_id": p, "text": f"{model[1:]} says {HOSTILE} {k}", "token_ids": [],
                    "finish_reason": "stop"} for k, p in enumerate(asked)]  # fmt: skip
        write(run / model / "eval.responses.jsonl", answers)
        write(run / model / "eval.prompts.jsonl",
              [{"id": p, "messages": messages(q), "source": f"asked.jsonl:{k}",
                "fields": {"tag": (HOSTILE, "short")[k % 2]}}
               for k, (p, q) in enumerate(zip(asked, QUESTIONS, strict=True))])  # fmt: skip
        write(run / model / "eval.judgements.jsonl", [judged(a["id"], float(number)) for a in answers])
        write(run / model / "eval.agreement.jsonl", [judged(f"r-{k}.{i}", 1.0 + i) for k in range(4) for i in (0, 1)])
        write(run / model / "checks.jsonl", [{"id": a["id"], "prompt_id": a["prompt_id"], "finished": True,
                                              "measures": {"passes": float(k % 2)}}
                                             for k, a in enumerate(answers)])  # fmt: skip
        verified = [
            {"id": f"{model}.{k}.0", "prompt_id": str(k), "prompt": messages(f"{HOSTILE} In {k} words, no comma."),
             "instructions": [{"instruction": "punctuation:no_comma", "strict": number == 2, "loose": True},
                              {"instruction": "made:up", "strict": None, "loose": None, "reason": HOSTILE}][: k + 1]}
            for k in range(2)
        ]  # fmt: skip
        write(run / model / "eval.ifeval.checks.jsonl", verified)
        write(run / model / "eval.ifeval.jsonl",
              [{"id": row["id"], "prompt_id": row["prompt_id"], "text": f"Verified. {HOSTILE}", "token_ids": [],
                "finish_reason": "length"} for row in verified])  # fmt: skip
        health = {"judgements": 4, "parse_rate": 1.0, "tie_rate": 0.0, "top_share": 0.1, "length_correlation": 0.1}
        write_json(run / model / "eval.json", {"model": model, "judge": "judge", "judge_health": health,
                                               "win_rate_vs_previous": None})  # fmt: skip
        write_json(run / model / "checks.json", {"model": model, "headline": "passes", "measures": {}})
        write_json(run / model / "train.json", {"hash": model * 10, "rows": 2, "steps": 5})
    sources = ("prompts.jsonl:0", "few_shot:4", "few_shot:7.2", HOSTILE)
    prompts = [{"id": f"p-{k}", "messages": messages(q), "source": sources[k],
                "tag": HOSTILE if k == 3 else "plain"} for k, q in enumerate(QUESTIONS)]  # fmt: skip
    candidates = [{"id": f"c-{k}-{i}", "prompt_id": f"p-{k}", "text": f"{HOSTILE} {i}", "token_ids": [],
                   "finish_reason": "stop" if i < 2 else HOSTILE, "thought": HOSTILE}
                  for k in range(4) for i in range(3)]  # fmt: skip
    scores = {(k, i): 3.0 + (0 if k == 0 else i) / (4 if k == 1 else 1) for k in range(4) for i in range(3)}
    write(run / "M2/prompts.jsonl", prompts)
    write(run / "M2/candidates.jsonl", candidates)
    write(run / "M2/judgements.jsonl", [judged(f"c-{k}-{i}", s, HOSTILE) for (k, i), s in scores.items()])
    write(run / "M2/pairs.jsonl", [pair(k) for k in (2, 3)])
    write(run / "M2/train.steps.jsonl", [{"id": "pair-2", "steps": [2, 5]}])
    shown = [("seed.jsonl:2", f"Seed question 2? {HOSTILE}"), ("few_shot:4", QUESTIONS[1]), ("shipped:1", HOSTILE)]
    write(
        run / "M2/demonstrations.jsonl",
        [
            {"id": name, "shown": [{"source": source, "text": text} for source, text in some]}
            for name, some in (("few_shot:7", shown), ("few_shot:7.2", shown[2:]))
        ],
    )
    dropped = {HOSTILE: 3}
    write_json(run / "M2/prompts.json", {"asked": 9, "kept": 4, "dropped": dropped,
                                         "samples": {"kept": [HOSTILE], "dropped": {HOSTILE: [HOSTILE]}}})  # fmt: skip
    write_json(run / "M2/judge.json", {"judge": "M1", "health": health})
    return run


def pair(k: int) -> dict[str, Any]:
    said = [{"role": "assistant", "content": HOSTILE}]
    return {"id": f"pair-{k}", "prompt_id": f"p-{k}", "prompt": messages(QUESTIONS[k]), "chosen": said,
            "rejected": said, "chosen_id": f"c-{k}-1", "rejected_id": f"c-{k}-0", "chosen_score": 4.0,
            "rejected_score": 3.0}  # fmt: skip


def make_large(run: Path, count: int) -> Path:
    """A run of this many prompts, a pair for every second one."""
    write_json(run / "run.json", {"started": "2026-05-03", "models": ["M0", "M1", "M2"]})
    (run / "M2").mkdir(parents=True)
    with (run / "M2/prompts.jsonl").open("w") as prompts, (run / "M2/pairs.jsonl").open("w") as pairs:
        for k in range(count):
            text = f"Question {k}: what is known of the {'sea' if k % 3 else 'desert'} at this place and hour?"
            prompts.write(
                f'{{"id":"p-{k}","messages":[{{"role":"user","content":"{text}"}}],"source":"s{k % 4}:{k}"}}\n'
            )
            if k % 2:
                pairs.write(f'{{"id":"pair-{k}","prompt_id":"p-{k}","chosen_score":{1 + k % 5},"rejected_score":1}}\n')
    return run
