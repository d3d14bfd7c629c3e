"""A whole run of the loop, M0 → M1 → M2, from a tiny model of an architecture.

M0's weights are random, so M1 is trained for long enough to write a score, and to end its answers: then the scores that
a sampled judge writes are read from its own words, and pairs are made from them.

    python benchmarks/matrix_loops.py NAME TRAINING JUDGING     # one run; the last line is what came of it
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from judgeloop.run.stage import Step
from matrix_models import ARCHITECTURES, make

Loop = tuple[str, str]
"""How models are trained, and how they judge."""
LOOPS: tuple[Loop, ...] = (("full", "expected"), ("lora", "sampled"), ("lora", "expected"), ("full", "sampled"))
TOPICS = ("rain", "bread", "the Moon", "cats", "the sea", "a dog")
LIMIT = 300.0  # seconds


def loop_in_a_process(name: str, loop: Loop) -> str:
    """What came of the run, which has a process of its own: "yes" with its counts, or the step that failed and why."""
    done = subprocess.run(
        [sys.executable, __file__, name, *loop], capture_output=True, text=True, check=False, timeout=LIMIT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout.strip().splitlines()[-1]
    return f"ended with {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}"[:200]


def config_of(folder: Path, template: str | None, loop: Loop, place: Path) -> dict[str, Any]:
    """The tree of a run that takes seconds; its files are written to `place`."""
    method, scoring = loop
    ranked = [
        {
            "prompt": f"Write about {topic}.",
            "responses": [
                {"text": f"{topic} in one sentence.", "rank": 0},
                {"text": f"{topic}.", "rank": 1},
                {"text": "What?", "rank": 2},
            ],
        }
        for topic in TOPICS
    ]
    prompts = [{"prompt": f"Write about {topic}."} for topic in ("tea", "snow", "a cat", "the Moon and bread")]
    training = {"method": method, "learning_rate": 1e-2, "batch_size": 6, "max_length": 2000, "warmup": 0.0}
    sampling = {"temperature": 0.8, "top_p": 0.95}
    return {
        "model": str(folder),
        "chat_template": template,
        "iterations": 1,
        "threads": 1,
        "engine": {"kind": "transformers", "precision": "f32"},
        "seed_data": {
            "ranked": _written(place / "seed.jsonl", ranked),
            "held_out_share": 0.34,
            "eft_share": 1.0,
            "near_duplicate": 1.0,
            "eft": {"ift_overlap": True},
        },
        "sft": {**training, "epochs": 25 if method == "full" else 40},
        "prompts": {
            "source": "file", "files": [_written(place / "prompts.jsonl", prompts)], "count": 4, "max_rouge_l": 1.0,
            "min_words": 1,
        },
        "candidates": {"count": 4, "sampling": {**sampling, "max_new_tokens": 16}},
        "judge": {
            "rubric": "additive-5-short", "scoring": scoring, "min_mass": 0.0, "samples": 2,
            "sampling": {"temperature": 0.5, "top_p": 0.9, "max_new_tokens": 8},
        },
        "pairs": {"unfinished": "as_judged"},
        "train": {**training, "learning_rate": 1e-3, "batch_size": 2},
        "evaluation": {"base": False, "count": 2, "samples": 1, "bootstrap": 20, "sampling": {"max_new_tokens": 8}},
        "health": {"stop_on": []},
    }  # fmt: skip


def _written(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def run(name: str, loop: Loop, place: Path) -> str:
    """Carry out the loop as `judgeloop run` does, but all its steps in this process, which saves loading the libraries
    anew for each of them."""
    import yaml

    from judgeloop.config import load
    from judgeloop.errors import JudgeloopError
    from judgeloop.run import children, driver
    from judgeloop.stages.carry_out import run_stage
    from judgeloop.stages.context import Context

    template = make(name, place / "model")
    file = place / "config.yaml"
    file.write_text(yaml.safe_dump(config_of(place / "model", template, loop, place)), encoding="utf-8")
    children.carry_out_in_child = lambda run, step, display, server: run_stage(Context(run, step, display.progress))  # noqa: ARG005
    steps = _Steps()
    try:
        driver.execute(load(file, []), place / "run", steps)
    except (JudgeloopError, ValueError, RuntimeError, TypeError, LookupError, AttributeError, AssertionError) as error:
        return f"{steps.last}: {type(error).__name__}: {' '.join(str(error).split())}"[:200]
    return account(place / "run")


def account(folder: Path) -> str:
    """What a finished run shows: scores that were read, pairs, and two models that differ."""
    from judgeloop.jsonl import read_rows
    from judgeloop.records import Judgement

    judgements = read_rows(folder / "M2" / "judgements.jsonl", Judgement)
    read = sum(row.score is not None for row in judgements)
    pairs = json.loads((folder / "M2" / "pairs.json").read_text(encoding="utf-8"))["pairs"]
    trained = [json.loads((folder / name / "train.json").read_text(encoding="utf-8")) for name in ("M1", "M2")]
    if len({trained[0]["initial"]["hash"], trained[0]["hash"], trained[1]["hash"]}) != 3:
        return "the models do not differ"
    return f"yes: {read} of {len(judgements)} scores read, {pairs} pairs"


class _Steps:
    """Which step was the last to begin; nothing is shown."""

    last = ""

    def started(self, step: Step, resumed: bool) -> None:  # noqa: ARG002
        self.last = step.name

    def _nothing(self, *_: Any) -> None:
        pass

    superseded = skipped = progress = finished = failed = samples = note = _nothing


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    wanted, training, judging = sys.argv[1:4]
    if wanted not in ARCHITECTURES:
        sys.exit(f"{wanted}: not one of {', '.join(ARCHITECTURES)}")
    with tempfile.TemporaryDirectory() as folder:
        print(run(wanted, (training, judging), Path(os.environ.get("MATRIX_KEEP") or folder)))
