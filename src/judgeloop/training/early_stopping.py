"""Early stopping by the judge: training goes on as long as a checkpoint's answers beat those of the one before.

The rule of Self-Rewarding Language Models (arXiv 2401.10020, its training details): every so many steps the checkpoint
is compared on held-out prompts with the checkpoint before (at first with the initial model), and the last one that won
is kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from judgeloop.jsonl import write_text_atomically
from judgeloop.training import collectives, distributed

_STATE = "judged.json"


@dataclass(frozen=True, slots=True)
class Compared:
    """Outcomes over the held-out prompts, as seen from the newer checkpoint."""

    win: int
    tie: int
    lose: int
    unparsed: int

    @property
    def won(self) -> bool:
        return self.win > self.lose

    @property
    def rate(self) -> float | None:
        """Wins and half the ties over what could be read; None if nothing could."""
        read = self.win + self.tie + self.lose
        return (self.win + self.tie / 2) / read if read else None

    def __str__(self) -> str:
        return f"{self.win} wins, {self.tie} ties, {self.lose} losses, {self.unparsed} unread"


JudgeCheckpoint = Callable[[Path, int, int], Compared]
"""(folder of the newer checkpoint, its step, the step of the one it is compared with; 0 is the initial model)."""


class StopByJudge(TrainerCallback):
    """Judges the weights every `every` steps and after the last one; stops the training if they did not win.

    `save(folder)` writes the present weights as an ordinary model folder; every process calls it, rank 0 writes. The
    outcomes are kept in `folder`, the trainer's folder of checkpoints, so that a training that was killed judges
    nothing twice.
    """

    def __init__(
        self,
        every: int,
        folder: Path,
        save: Callable[[Path], None],
        judge: JudgeCheckpoint,
        on_metrics: Callable[[dict[str, float]], None],
    ) -> None:
        self.every = every
        self.folder = folder
        self.save = save
        self.judge = judge
        self.on_metrics = on_metrics
        self.outcomes: dict[int, Compared] = {}
        state = folder / _STATE
        if state.exists():
            found = json.loads(state.read_text(encoding="utf-8"))
            self.outcomes = {int(step): Compared(**outcome) for step, outcome in found.items()}
        for step, outcome in self.outcomes.items():
            self._report(step, outcome)

    @property
    def kept_step(self) -> int:
        """The step whose weights are the best so far; 0 if the initial model was never beaten."""
        return max((step for step, outcome in self.outcomes.items() if outcome.won), default=0)

    @property
    def kept(self) -> Path | None:
        """The folder of those weights, None for the initial model's."""
        return self._path(self.kept_step) if self.kept_step else None

    @property
    def stopped_at(self) -> int | None:
        """The step at which the training was stopped, None if every checkpoint won."""
        return next((step for step, outcome in self.outcomes.items() if not outcome.won), None)

    @property
    def why(self) -> str | None:
        """One line on why it stopped."""
        step = self.stopped_at
        if step is None:
            return None
        other = f"step {self.kept_step}" if self.kept_step else "the initial model"
        return f"step {step} did not win more than it lost against {other}: {self.outcomes[step]}; kept {other}"

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = state.global_step
        if step % self.every and step < state.max_steps:
            return
        if step not in self.outcomes:
            if distributed.is_main():
                shutil.rmtree(self._path(step), ignore_errors=True)  # what a kill left half written
            self.save(self._path(step))
            if distributed.is_main():
                self._judge(step)
        self.outcomes = collectives.from_main(self.outcomes)
        if not self.outcomes[step].won:
            control.should_training_stop = True
            control.should_save = False

    def _judge(self, step: int) -> None:
        before, path = self.kept_step, self._path(step)
        outcome = self.judge(path, step, before)
        self.outcomes[step] = outcome
        state = {name: asdict(value) for name, value in self.outcomes.items()}
        write_text_atomically(self.folder / _STATE, json.dumps(state))
        shutil.rmtree(self._path(before) if outcome.won else path, ignore_errors=True)
        self._report(step, outcome)

    def _report(self, step: int, outcome: Compared) -> None:
        row = {"step": float(step), **{f"early_stopping_{name}": float(n) for name, n in asdict(outcome).items()}}
        if outcome.rate is not None:
            row["early_stopping_win_rate"] = outcome.rate
        self.on_metrics(row)

    def _path(self, step: int) -> Path:
        return self.folder / f"judged-{step}"
