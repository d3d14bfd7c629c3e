"""Once with the real embedded model, at small counts: what a random model cannot show."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from judgeloop.config import EngineSection
from judgeloop.engines import open_engine
from judgeloop.engines.base import Request, Sampling
from judgeloop.models.chat import Chat
from judgeloop.models.resolve import resolve

pytestmark = pytest.mark.model

QUESTIONS = (
    "What is the capital of France?",
    "Write a short poem about the sea.",
    "Explain in two sentences why the sky is blue.",
    "List three uses of a paper clip.",
    "How do I boil an egg?",
    "Who wrote Hamlet?",
    "Describe a cat in one sentence.",
    "What is seven times eight?",
)


def test_openvino_says_what_transformers_says(tmp_path: Path) -> None:
    """The GGUF round trip: greedy, float32, 16 tokens. One near-tie may fall the other way."""
    folder = resolve("smollm2-135m-instruct").path
    chat = Chat.load(folder)
    assert chat.check() == []
    requests = [
        Request(str(n), tuple(chat.prompt_ids([{"role": "user", "content": text}])), Sampling(16))
        for n, text in enumerate(QUESTIONS)
    ]
    said = {}
    for kind in ("openvino", "transformers"):
        section = EngineSection(kind=kind, precision="f32", cache_gib=1)
        engine = open_engine(section, folder, chat, work_dir=tmp_path / kind, threads=None, seed=0)
        said[kind] = {row.request_id: row.token_ids for row in engine.generate(requests)}
        engine.close()
    equal = sum(said["openvino"][str(n)] == said["transformers"][str(n)] for n in range(len(QUESTIONS)))
    assert equal >= len(QUESTIONS) - 1


def test_the_loop_with_the_real_model(
    make_config: Callable[..., Path], judgeloop: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    config = make_config(
        model="smollm2-135m-instruct",
        threads=1,  # two, beside another worker of the suite, wait for each other
        iterations=1,
        engine={"cache_gib": 1},
        sft={"learning_rate": 1e-4, "batch_size": 8},
        prompts={"source": "few_shot", "count": 4, "max_rouge_l": 0.9, "requests_per_round": 2},
        candidates={"count": 3, "sampling": {"temperature": 1.0, "max_new_tokens": 32}},
        judge={"rubric": "additive-5-short", "min_mass": 0.5},
        train={"learning_rate": 1e-5, "batch_size": 4},
        evaluation={"count": 3, "samples": 2, "base": False, "bootstrap": 50, "sampling": {"max_new_tokens": 24}},
    )
    out = tmp_path / "run"
    done = judgeloop("run", str(config), "--out", str(out))
    assert done.returncode == 0, done.stderr
    trained = json.loads((out / "M2" / "train.json").read_text())
    assert trained["first_loss"] == pytest.approx(math.log(2), abs=0.01)
    assert trained["initial"] == trained["reference"]
    supervised = json.loads((out / "M1" / "train.json").read_text())
    assert supervised["last_loss"] < supervised["first_loss"]
    evaluation = json.loads((out / "M1" / "eval.json").read_text())
    assert evaluation["judge_health"]["parse_rate"] == 1.0  # M1 has learned the form of the score line
