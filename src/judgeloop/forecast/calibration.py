"""What this machine does with this model, measured: `python -m judgeloop.forecast.calibration PART SECONDS FOLDER`.

Two processes, one after the other: `training` (some steps on one batch of the seed) and `engine` (answers to some of
the run's prompts, then their expected scores). Each is ended when its time is up; what it measured by then is kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judgeloop.config import Config, load
from judgeloop.engines.base import Request, Sampling
from judgeloop.forecast import texts
from judgeloop.forecast.busy import Moment, others_share, quiet_seconds
from judgeloop.forecast.rates import TOO_BUSY, Calibration, Rates
from judgeloop.forecast.work import Kind
from judgeloop.judging.pointwise import ToJudge, judge, judge_prompts
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.models.hardware import cores
from judgeloop.records import Message, SupervisedRow

PARTS = ("training", "engine")
_STEPS = 5  # of a training; the first is left out: memory is touched for the first time in it
_SEQUENCES = 160  # answers, so that an engine's batch is full
_NEW_TOKENS = 64
_JUDGED = 48


class _Enough(BaseException):
    """The steps asked for are done."""


def calibrate(
    config: Config, folder: Path, chat_date: str | None, rows: Sequence[SupervisedRow],
    prompts: Sequence[Sequence[Message]], guess: Rates, seconds: float,
) -> Calibration:  # fmt: skip
    """Measure for at most so many seconds. What cannot be measured is in `failed`, with the reason."""
    found, begun = Calibration(), time.monotonic()
    if (others := others_share()) > TOO_BUSY:
        why = f"other programs take {others:.0%} of the processor; plan again when it is idle"
        return Calibration(busy=others, failed=dict.fromkeys(("train", "read", "write", "score"), why))
    with tempfile.TemporaryDirectory(prefix="judgeloop-plan-") as name:
        work = Path(name)
        (work / "config.yaml").write_text(config.resolved_yaml(), encoding="utf-8")
        request = {
            "folder": str(folder), "date": chat_date, "guess": guess.tokens, "prompts": list(prompts),
            "too_busy": TOO_BUSY,
            "rows": [dataclasses.astuple(row) for row in rows],
        }  # fmt: skip
        (work / "request.json").write_text(json.dumps(request, ensure_ascii=False), encoding="utf-8")
        for part in PARTS:
            left = begun + seconds - time.monotonic()
            share = left / 2 if part == PARTS[0] else left
            _in_process(part, share, work, config, found)
    found.seconds = round(time.monotonic() - begun, 1)
    return found


def _in_process(part: str, seconds: float, work: Path, config: Config, found: Calibration) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": str(config.threads or cores()),
                   "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip
    command = [sys.executable, "-m", "judgeloop.forecast.calibration", part, f"{seconds:.1f}", str(work)]
    why = "its time was up"
    try:
        done = subprocess.run(
            command, env=environment, timeout=max(1.0, seconds), capture_output=True, text=True, check=False
        )
        if done.returncode:
            why = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    except subprocess.TimeoutExpired:
        pass
    result = work / f"{part}.json"
    said: dict[str, Any] = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    found.tokens |= said.get("tokens", {})
    found.load = said.get("load", found.load)
    found.memory = said.get("memory", found.memory)
    found.busy = max(found.busy, said.get("busy", 0.0))
    if found.busy > TOO_BUSY:
        why = f"other programs took {found.busy:.0%} of the processor"
    for kind in {"training": ("train",), "engine": ("read", "write", "score")}[part]:
        if kind not in found.tokens:
            found.failed[kind] = why


class _Measuring:
    """One part in its process: what it is given, and what it has measured, written at once."""

    def __init__(self, part: str, seconds: float, work: Path) -> None:
        self.until = time.monotonic() + seconds
        self.work, self._out = work, work / f"{part}.json"
        self.config = load(work / "config.yaml")
        said = json.loads((work / "request.json").read_text(encoding="utf-8"))
        self.folder, self.guess, self.too_busy = Path(said["folder"]), said["guess"], said["too_busy"]
        self.rows = [SupervisedRow(*row) for row in said["rows"]]
        self.prompts: list[list[Message]] = said["prompts"]
        config = self.config
        self.chat = Chat.load(
            self.folder, chat_template=config.chat_template, system_prompt=config.system_prompt,
            thinking=config.thinking, date=said["date"], trust_remote_code=config.trust_remote_code,
        )  # fmt: skip
        self._found: dict[str, Any] = {"tokens": {}}

    def note(self, **values: float) -> None:
        self._found |= values
        self._write()

    def rate(self, kind: Kind, tokens: float, begun: Moment, ended: Moment | None = None) -> None:
        """Tokens a second since `begun`, as they would be on an idle machine."""
        seconds, others = quiet_seconds(begun, ended or Moment.now())
        if others <= self.too_busy:
            self._found["tokens"][kind] = tokens / max(seconds, 1e-6)
        self._found["busy"] = max(others, self._found.get("busy", 0.0))
        self._write()

    def _write(self) -> None:
        partial = self._out.with_suffix(".partial")
        partial.write_text(json.dumps(self._found), encoding="utf-8")
        partial.replace(self._out)


def training(given: _Measuring) -> None:
    """Steps of SFT on one batch, the one whose tree is nearest to the middle."""
    from judgeloop.stages.training import score_alone
    from judgeloop.training import memory
    from judgeloop.training.sft import train_sft

    config = given.config
    batches = sorted(texts.sft_batches(config, given.rows, given.chat), key=lambda batch: batch[1])
    if not batches:
        raise SystemExit("the seed has too few rows for a batch")
    rows, tokens = batches[len(batches) // 2]
    moments: list[Moment] = []

    def progress(done: int, _: int) -> None:
        moments.append(Moment.now())
        if len(moments) > 2:
            given.rate("train", tokens * (len(moments) - 2), moments[1], moments[-1])
            given.note(memory=memory.peak_memory_mib() * 2**20)
        if done >= _STEPS or (len(moments) > 2 and 3 * moments[-1].clock - 2 * moments[-2].clock > given.until):
            raise _Enough

    section = config.sft.model_copy(update={
        "checkpoint_steps": None, "report_to": (), "epochs": float(_STEPS + 1), "tokens_per_step": None,
    })  # fmt: skip
    alone = score_alone(config) if any(row.kind == "eft" for row in rows) else None
    with contextlib.suppress(_Enough):
        train_sft(
            rows, initial=given.folder, output=given.work / "model", chat=given.chat, config=section, seed=config.seed,
            threads=config.threads, on_progress=progress, on_metrics=lambda _: None, score_alone=alone,
            trust_remote_code=config.trust_remote_code,
        )  # fmt: skip


def engine(given: _Measuring) -> None:
    """Reading, writing and scoring, each for as much as fits into its share of the time by the guess."""
    from judgeloop.engines import open_engine

    config, chat = given.config, given.chat
    begun = Moment.now()
    opened = open_engine(
        config.engine, given.folder, chat, work_dir=given.work / "engine", threads=config.threads, seed=config.seed,
        trust_remote_code=config.trust_remote_code,
    )  # fmt: skip
    prompts = [tuple(chat.prompt_ids(messages)) for messages in given.prompts]
    list(opened.generate([Request("warm", prompts[0], Sampling(1))]))
    given.note(load=quiet_seconds(begun, Moment.now())[0])
    left = given.until - time.monotonic()
    new = min(config.candidates.sampling.max_new_tokens, _NEW_TOKENS)
    affordable = int(left * 0.35 * given.guess["write"] / new)
    count = min(len(prompts), max(1, min(_SEQUENCES, affordable) // config.candidates.count))
    asked, section = prompts[:count], config.candidates.sampling

    begun = Moment.now()
    list(opened.generate([Request(f"r{k}", ids, Sampling(1), 1) for k, ids in enumerate(asked)]))
    given.rate("read", texts.distinct(asked), begun)

    how = Sampling(new, max(section.temperature, 0.01), section.top_p, section.top_k)
    begun = Moment.now()
    requests = [Request(f"w{k}", ids, how, config.candidates.count, seed=k) for k, ids in enumerate(asked)]
    answers = list(opened.generate(requests))
    # Prompts are in the prefix cache by now, if the engine has one; else their reading is part of what was measured.
    given.rate("write", sum(len(answer.token_ids) for answer in answers), begun)

    if config.judge.scoring == "expected" and config.judge.function is None:
        rubric = load_rubric(config.judge.rubric, config.judge.language)
        texts_ = [row.completion[0]["content"] for row in given.rows if row.kind == "ift"] or ["Yes."]
        n = config.candidates.count
        items = [
            ToJudge(f"{place}.{k}", messages, texts_[(place * n + k) % len(texts_)], str(place))
            for place, messages in enumerate(given.prompts) for k in range(n)
        ][:_JUDGED]  # fmt: skip
        how_ = config.judge.model_copy(update={"justification": False})
        list(judge(opened, chat, rubric, how_, items[:n], 0))  # loads what scores
        ids = list(judge_prompts(chat, rubric, items[n:], 1).usable.values())
        begun = Moment.now()
        list(judge(opened, chat, rubric, how_, items[n:], 0))
        given.rate("score", texts.distinct(ids), begun)
    opened.close()


def main(part: str, seconds: str, work: str) -> None:
    given = _Measuring(part, float(seconds), Path(work))
    (training if part == PARTS[0] else engine)(given)


if __name__ == "__main__":
    main(*sys.argv[1:4])
