"""What a large run costs to look at and to go on with: status, resume, report.

    python benchmarks/size.py [--rows 1000000] [--folder RUN]

A run directory of `--rows` candidates and judgements is made by code: one candidate to three judgements in writing,
four candidates to a prompt, 100 tokens to a candidate. Then each command is measured in a process of its own: seconds
by the clock and of the processor (on a busy machine the second says more), and the peak of its memory. Goals for a
million rows: `status` in 2 s, finding out what a cut-off stage still owes in 10 s and 500 MB, `report` in 60 s.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from judgeloop.config import JudgeSection, parse
from judgeloop.engines.base import Engine
from judgeloop.jsonl import append_missing, each_row, read_rows, write_rows_atomically
from judgeloop.judging.adaptive import judge_in_rounds
from judgeloop.judging.pointwise import ToJudge
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Candidate, Judgement, Message, PreferencePair, Prompt
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.methods import METHODS
from judgeloop.run.stage import LOOP
from judgeloop.stages.generation import candidate_id

CANDIDATES, JUDGEMENTS, TOKENS = 4, 3, 100
GOALS = {"status": (2, None), "resume": (10, 500), "report": (60, None)}  # seconds, MB
WORDS = ("the", "light", "of", "day", "is", "scattered", "by", "small", "parts", "and", "blue", "goes", "further")


def make(folder: Path, rows: int) -> int:
    """A run that was cut off in M2's judging, nearly at its end; returns how many rows it has."""
    rng = random.Random(0)
    seed = folder.parent / "seed.jsonl"
    seed.write_text('{"instruction": "Why?", "response": "Because."}\n', encoding="utf-8")
    config = parse({"seed_data": {"ift": [str(seed)]}, "iterations": 1}, "size")
    run = RunDirectory.prepare(folder, config, METHODS[LOOP](config))
    describe(run)
    count = max(1, rows // (CANDIDATES * (1 + JUDGEMENTS)))
    prompts = [Prompt(f"p-{n:012x}", [{"role": "user", "content": _words(rng, 20)}], "few_shot") for n in range(count)]
    texts = [_words(rng, 70) for _ in range(997)]
    tokens = [[rng.randrange(49_152) for _ in range(TOKENS)] for _ in range(997)]

    def candidates() -> Iterator[Candidate]:
        for n, prompt in enumerate(prompts):
            for k in range(CANDIDATES):
                some = (7 * n + k) % len(texts)
                yield Candidate(candidate_id("M2", prompt.id, k), prompt.id, texts[some], tokens[some], "stop")

    def judgements() -> Iterator[Judgement]:
        for n, prompt in enumerate(prompts):
            for k in range(CANDIDATES * JUDGEMENTS):
                owner, score = candidate_id("M2", prompt.id, k // JUDGEMENTS), float((n + k) % 6)
                text = f"{texts[(n + k) % len(texts)]}\n\nScore: {score:g}"
                yield Judgement(f"{owner}.j{k % JUDGEMENTS}", owner, k % JUDGEMENTS, text, score, None)

    def pairs() -> Iterator[PreferencePair]:
        for prompt in prompts:
            best, worst = (candidate_id("M2", prompt.id, k) for k in range(2))
            chosen, rejected = ([Message(role="assistant", content=text)] for text in texts[:2])
            yield PreferencePair(
                f"pair-{prompt.id}", prompt.id, prompt.messages, chosen, rejected, best, worst, 4.0, 2.0
            )

    made = folder / "M2"
    for name, found in (
        ("prompts", prompts),
        ("candidates", candidates()),
        ("judgements", judgements()),
        ("pairs", pairs()),
    ):
        write_rows_atomically(made / f"{name}.jsonl", found)
    run.close()
    return count * CANDIDATES * (1 + JUDGEMENTS)


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=count))


def resume(run: Path) -> None:
    """What the stages of candidates and of judgements do to find that nothing is missing."""

    def none_owed(*_: object) -> NoReturn:
        raise AssertionError("something is owed")

    prompts = {prompt.id: prompt for prompt in read_rows(run / "M2/prompts.jsonl", Prompt)}
    path = run / "M2/candidates.jsonl"
    append_missing(
        path, Candidate, list(prompts), lambda name: [candidate_id("M2", name, k) for k in range(CANDIDATES)], none_owed
    )
    items = [
        ToJudge(row.id, prompts[row.prompt_id].messages, row.text, row.prompt_id) for row in each_row(path, Candidate)
    ]
    scores = {row.id: row.score for row in each_row(run / "M2/judgements.jsonl", Judgement)}

    def opened() -> tuple[Engine, Chat]:
        none_owed()

    config = JudgeSection(scoring="sampled", samples=JUDGEMENTS)
    assert not list(judge_in_rounds(opened, load_rubric(config.rubric), config, items, scores, 0))


def measured(command: list[str]) -> tuple[float, float, float]:
    """Run a command to its end: seconds by the clock, seconds of the processor, peak memory in MB."""
    started = time.monotonic()
    child = os.posix_spawn(
        command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    )
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: exit status {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="a run that this script made, or where to make it and leave it")
    parser.add_argument("--resume", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.resume:
        resume(options.resume)
        return
    with tempfile.TemporaryDirectory() as temporary:
        run = options.folder or Path(temporary) / "run"
        if not run.exists():
            print(f"{make(run, options.rows):,} candidates and judgements")
        size = sum(file.stat().st_size for file in run.rglob("*.jsonl")) / 1e6
        print(f"{size:.0f} MB of rows\n\n| | seconds | of the processor | peak MB | goal |\n|---|---|---|---|---|")
        judgeloop = [sys.executable, "-m", "judgeloop"]
        commands = {
            "status": [*judgeloop, "status", str(run)],
            "resume": [sys.executable, __file__, "--resume", str(run)],
            "report": [*judgeloop, "report", str(run)],
        }
        for name, command in commands.items():
            seconds, processor, peak = measured(command)
            goal, memory = GOALS[name]
            wanted = f"{goal} s" + (f", {memory} MB" if memory else "")
            print(f"| {name} | {seconds:.1f} | {processor:.1f} | {peak:.0f} | {wanted} |", flush=True)


if __name__ == "__main__":
    main()
