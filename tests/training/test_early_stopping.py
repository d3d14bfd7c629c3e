from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from judgeloop.config import TrainSection
from judgeloop.models.chat import Chat
from judgeloop.records import PreferencePair
from judgeloop.training.early_stopping import Compared
from judgeloop.training.preference import train_preference
from judgeloop.training.summary import TrainingSummary

from .cases import PEFT_WARNS

WON, LOST, TIED = Compared(3, 1, 2, 0), Compared(1, 0, 2, 1), Compared(2, 0, 2, 0)


class Killed(Exception):
    """Stands for a SIGKILL while the judge is at work."""


class Fake:
    """A judge with its verdicts given, that keeps what it was shown."""

    def __init__(self, *verdicts: Compared | None) -> None:
        self.verdicts = list(verdicts)
        self.asked: list[tuple[int, int]] = []
        self.weights: dict[int, dict[str, torch.Tensor]] = {}

    def __call__(self, folder: Path, step: int, against: int) -> Compared:
        self.asked.append((step, against))
        self.weights[step] = dict(load_file(folder / "model.safetensors"))
        assert (folder / "tokenizer.json").exists()
        assert (folder.parent / f"judged-{against}").exists() == (against > 0)
        verdict = self.verdicts.pop(0)
        if verdict is None:
            raise Killed
        return verdict


@pytest.fixture
def train(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat
) -> Callable[..., tuple[TrainingSummary, list[dict[str, float]]]]:
    def call(judge: Fake | None, **keys: Any) -> tuple[TrainingSummary, list[dict[str, float]]]:
        metrics: list[dict[str, float]] = []
        settings = {"precision": "f32", "batch_size": 2, "learning_rate": 1e-3, "epochs": 3, **keys}
        summary = train_preference(
            pairs, initial=model_folder, reference=model_folder, output=tmp_path / "run" / "model", chat=chat,
            token_ids={}, config=TrainSection(**settings), seed=0, threads=None,
            on_progress=lambda done, total: None, on_metrics=metrics.append, judge_checkpoint=judge,
        )  # fmt: skip
        return summary, metrics

    return call


Train = Callable[..., tuple[TrainingSummary, list[dict[str, float]]]]
EVERY = {"early_stopping": {"every": 2}}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=PEFT_WARNS)])
@pytest.mark.parametrize("last", [LOST, TIED])
def test_it_stops_where_the_newer_one_does_not_win_and_keeps_the_last_that_did(
    train: Train, tmp_path: Path, method: str, last: Compared
) -> None:
    judge = Fake(WON, WON, last)
    summary, metrics = train(judge, method=method, **EVERY)
    assert judge.asked == [(2, 0), (4, 2), (6, 4)]
    assert (summary.steps, summary.stopped_at, summary.kept_step) == (6, 6, 4)
    assert summary.why is not None
    assert f"{last.win} wins, {last.tie} ties, {last.lose} losses, {last.unparsed} unread" in summary.why
    saved = dict(load_file(tmp_path / "run" / "model" / "model.safetensors"))
    assert equal(saved, judge.weights[4])
    assert not equal(saved, judge.weights[6])
    rates = {row["step"]: row["early_stopping_win_rate"] for row in metrics if "early_stopping_win_rate" in row}
    assert rates == {2: 3.5 / 6, 4: 3.5 / 6, 6: last.rate}
    assert sum("loss" in row for row in metrics) == 6
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "finished.json", "model", "reference.json", "train.steps.jsonl",
    ]  # fmt: skip


def test_where_every_checkpoint_wins_the_last_weights_are_kept(train: Train, tmp_path: Path) -> None:
    """Nine steps: the last one is judged although it is no fourth."""
    judge = Fake(WON, WON, WON)
    summary, _ = train(judge, early_stopping={"every": 4})
    assert judge.asked == [(4, 0), (8, 4), (9, 8)]
    assert (summary.steps, summary.stopped_at, summary.kept_step, summary.why) == (9, None, 9, None)
    assert equal(dict(load_file(tmp_path / "run" / "model" / "model.safetensors")), judge.weights[9])


def test_where_none_wins_the_initial_weights_are_kept(train: Train, tmp_path: Path, model_folder: Path) -> None:
    judge = Fake(Compared(0, 0, 0, 4))
    summary, metrics = train(judge, **EVERY)
    assert (summary.stopped_at, summary.kept_step) == (2, 0)
    assert "kept the initial model" in str(summary.why)
    assert summary.steps == 2
    saved = dict(load_file(tmp_path / "run" / "model" / "model.safetensors"))
    assert equal(
        saved, {name: tensor.float() for name, tensor in load_file(model_folder / "model.safetensors").items()}
    )
    assert all("early_stopping_win_rate" not in row for row in metrics)  # nothing could be read
    assert [row["early_stopping_unparsed"] for row in metrics if "early_stopping_unparsed" in row] == [4]


def test_saving_on_the_way_changes_nothing(train: Train, tmp_path: Path) -> None:
    _, plain = train(None)
    (tmp_path / "run").rename(tmp_path / "plain")
    judge = Fake(WON, WON, WON, WON, WON)
    _, judged = train(judge, **EVERY)
    assert [row["loss"] for row in judged if "loss" in row] == [row["loss"] for row in plain]
    assert equal(dict(load_file(tmp_path / "plain" / "model" / "model.safetensors")), judge.weights[9])


def test_a_killed_training_judges_nothing_twice(train: Train, tmp_path: Path) -> None:
    first = Fake(WON, None)
    with pytest.raises(Killed):
        train(first, checkpoint_steps=1, **EVERY)
    folder = tmp_path / "run" / "checkpoints"
    assert list(json.loads((folder / "judged.json").read_text())) == ["2"]
    second = Fake(WON, LOST)
    summary, metrics = train(second, checkpoint_steps=1, **EVERY)
    assert second.asked == [(4, 2), (6, 4)]
    assert (summary.stopped_at, summary.kept_step) == (6, 4)
    assert [row["step"] for row in metrics if "early_stopping_win" in row] == [2, 4, 6]
    assert equal(dict(load_file(tmp_path / "run" / "model" / "model.safetensors")), second.weights[4])


def test_without_the_key_nobody_is_asked(train: Train) -> None:
    judge = Fake()
    summary, _ = train(judge)
    assert judge.asked == []
    assert (summary.steps, summary.stopped_at, summary.kept_step, summary.why) == (9, None, None, None)
