"""One iteration of the loop, by `judgeloop run` and by a plain loop of transformers and TRL, one after the other.

    python benchmarks/iteration.py RUN [--prompts 64] [--sides ours alike plain] [--out FILE.json]

RUN is a finished run, made by this version: both sides start from its M1 with its prompts, sampling, rubric, scores and
margin. Ours is the run itself, gone on with in a copy that has no M2, and its seconds are those of its stages with
their loading. The plain side is what a user would write: `generate` in bf16, in batches of 128 sequences; the expected
score from the logits of padded batches of 32 prompts that hold rubric, prompt and response; TRL's DPOTrainer in bf16
autocast with the run's batch size; weights saved. The two differ in work: ours also trains on the chosen responses'
likelihood and on replayed judgements, and leaves the layers alone that the run freezes. `alike` is ours with none of
these, so that all layers learn from the pairs alone. Each side is a process of its own, loading and imports included.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judgeloop.config.loading import load
from judgeloop.jsonl import write_text_atomically
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import Message
from judgeloop.run.json_artifacts import read_json

STAGES = ("prompts", "candidates", "judge", "pairs", "train")
SEQUENCES, JUDGED = 128, 32
ALIKE = (
    "train.eft_replay=0",
    "train.ift_replay=0",
    "train.solved_replay=0",
    "train.nll_weight=0",
    "train.freeze_layers=0",
)


def ours(run: Path, prompts: int, folder: Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Go on with a copy of the run, with some keys changed, until M2 is trained."""
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("M2", "best", "report.html"))
    command = [sys.executable, "-m", "judgeloop", "run", str(run / "config.yaml"), "--out", str(folder)]
    for change in (f"prompts.count={prompts}", "iterations=1", *changes):
        command += ["--set", change]
    child = subprocess.Popen(command)
    trained = folder / "M2" / ".train.done.json"
    while child.poll() is None and not trained.exists():
        time.sleep(0.2)
    child.send_signal(signal.SIGINT)  # M2's evaluation is not part of the iteration
    child.wait()
    if not trained.exists():
        sys.exit("judgeloop run ended before M2 was trained; what it says is above")
    seconds = {name: read_json(folder / "M2" / f".{name}.done.json")["seconds"] for name in STAGES}
    pairs = read_json(folder / "M2" / ".pairs.done.json")["rows"]
    return {"seconds": seconds, "total": sum(seconds.values()), "pairs": pairs}


def plain(run: Path, count: int) -> dict[str, Any]:
    """The same iteration in this process, from transformers and TRL."""
    started = time.perf_counter()
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    config = load(run / "config.yaml")
    folder = run / "M1" / "model"
    rubric = load_rubric(str(config.judge.rubric))
    tokenizer = AutoTokenizer.from_pretrained(str(folder), padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.bfloat16)
    lines = (run / "M2" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    chats = [json.loads(line)["messages"] for line in lines]
    seconds: dict[str, float] = {}

    def lap(name: str) -> None:
        seconds[name] = time.perf_counter() - started - sum(seconds.values())

    lap("loading")
    sampling, samples = config.candidates.sampling, config.candidates.count
    torch.manual_seed(config.seed)
    answers: list[list[str]] = []
    at_once = SEQUENCES // samples
    for start in range(0, len(chats), at_once):
        texts = [_chat(tokenizer, messages) for messages in chats[start : start + at_once]]
        given = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        made = model.generate(
            **given, do_sample=True, temperature=sampling.temperature, top_p=sampling.top_p, top_k=0,
            num_return_sequences=samples, max_new_tokens=sampling.max_new_tokens,
        )  # fmt: skip
        found = tokenizer.batch_decode(made[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
        answers += [found[k : k + samples] for k in range(0, len(found), samples)]
    lap("candidates")

    digits = [tokenizer.encode(str(score), add_special_tokens=False)[-1] for score in rubric.scores]
    values = torch.tensor(list(rubric.scores), dtype=torch.float32)
    asked = [
        _chat(tokenizer, rubric.messages(messages, text)) + rubric.score_line
        for messages, texts in zip(chats, answers, strict=True)
        for text in texts
    ]
    scores: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(asked), JUDGED):
            given = tokenizer(
                asked[start : start + JUDGED], return_tensors="pt", padding=True, add_special_tokens=False
            )
            logits = model(**given, logits_to_keep=1).logits[:, -1, digits].float()
            scores += (logits.softmax(-1) @ values).tolist()
    lap("judge")

    rows = []
    for k, (messages, texts) in enumerate(zip(chats, answers, strict=True)):
        mine = scores[k * samples : (k + 1) * samples]
        best, worst = mine.index(max(mine)), mine.index(min(mine))
        if mine[best] - mine[worst] > config.pairs.margin:
            sides = [[{"role": "assistant", "content": texts[at]}] for at in (best, worst)]
            rows.append({"prompt": messages, "chosen": sides[0], "rejected": sides[1]})
    lap("pairs")

    section = config.train
    with tempfile.TemporaryDirectory() as work:
        arguments = DPOConfig(
            output_dir=work, use_cpu=True, bf16=True, gradient_checkpointing=False, report_to=[], save_strategy="no",
            per_device_train_batch_size=section.batch_size, num_train_epochs=section.epochs, beta=section.beta,
            learning_rate=section.learning_rate, max_length=section.max_length, seed=config.seed, disable_tqdm=True,
        )  # fmt: skip
        trained = AutoModelForCausalLM.from_pretrained(str(folder))
        trainer = DPOTrainer(trained, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
        trainer.train()
        trainer.save_model(work)
    lap("train")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "total": sum(seconds.values()), "pairs": len(rows), "peak_memory_mib": peak}


def _chat(tokenizer: Any, messages: Sequence[Message]) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def report(found: dict[str, dict[str, Any]]) -> None:
    """Print the sides' seconds by stage, and how they compare."""
    names = ["loading", *STAGES]
    print(f"{'side':<8}" + "".join(f"{name:>12}" for name in names) + f"{'total':>10}{'pairs':>8}")
    for side, result in found.items():
        cells = "".join(f"{result['seconds'].get(name, 0.0):>12.1f}" for name in names)
        print(f"{side:<8}{cells}{result['total']:>10.1f}{result['pairs']:>8}")
    for side in [side for side in found if side != "plain" and "plain" in found]:
        print(f"{side} is {found['plain']['total'] / found[side]['total']:.2f} times as fast as plain")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--sides", nargs="+", choices=["ours", "alike", "plain"], default=["ours", "alike", "plain"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    run = options.run.resolve()
    if options.child:
        write_text_atomically(options.child, json.dumps(plain(run, options.prompts)))
        return
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as work:
        for side in options.sides:
            if side != "plain":
                found[side] = ours(run, options.prompts, Path(work) / side, ALIKE if side == "alike" else ())
                continue
            result = Path(work) / "plain.json"
            arguments = [str(run), "--prompts", str(options.prompts), "--child", str(result)]
            subprocess.run([sys.executable, __file__, *arguments], check=True)
            found[side] = json.loads(result.read_text(encoding="utf-8"))
    report(found)
    if options.out:
        write_text_atomically(options.out, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
