from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from judgeloop.config import SftSection
from judgeloop.errors import StageFailed
from judgeloop.models.chat import Chat
from judgeloop.records import PreferencePair, SupervisedRow
from judgeloop.training.checkpoints import checkpoint_folder, last_checkpoint, training_key
from judgeloop.training.sft import train_sft
from judgeloop.training.trainer import Reporter

from .cases import PEFT_WARNS, make_row
from .test_preference import Run


class Killed(Exception):
    """Stands for a SIGKILL between two steps."""


def killing(after: int) -> Callable[[int, int], None]:
    def progress(done: int, _total: int) -> None:
        if done == after:
            raise Killed

    return progress


@pytest.mark.parametrize(
    ("method", "batch"),
    [
        ("full", {"batch_size": 2}),
        pytest.param("lora", {"batch_size": 2}, marks=PEFT_WARNS),
        ("full", {"tokens_per_step": 200, "dropout": 0.1, "schedule": "linear"}),
    ],
)
def test_a_killed_preference_training_ends_as_an_undisturbed_one(
    pairs: list[PreferencePair],
    model_folder: Path,
    other_folder: Path,
    tmp_path: Path,
    chat: Chat,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    batch: dict[str, Any],
) -> None:
    rows = [make_row(index, kind="eft") for index in range(3)]
    keys: dict[str, Any] = {
        "epochs": 3, "checkpoint_steps": 2, "eft_replay": 0.3, "eft": rows, "method": method,
        "reference": other_folder, **batch,
    }  # fmt: skip
    whole = Run(pairs, model_folder, tmp_path / "whole" / "model", chat, **keys)
    assert len(whole.metrics) == 9

    first = tmp_path / "killed"
    with monkeypatch.context() as patch:
        original = Reporter.on_step_end

        def kill(self: Reporter, args: Any, state: Any, control: Any, **rest: Any) -> None:
            original(self, args, state, control, **rest)
            if state.global_step == 5:
                raise Killed

        patch.setattr(Reporter, "on_step_end", kill)
        with pytest.raises(Killed):
            Run(pairs, model_folder, first / "model", chat, **keys)
    assert last_checkpoint(first / "checkpoints") == first / "checkpoints" / "checkpoint-4"
    before = (first / "reference.json").read_bytes()

    resumed = Run(pairs, model_folder, first / "model", chat, **keys)
    assert resumed.progress[0] == (4, 9)
    assert [row["step"] for row in resumed.metrics] == [row["step"] for row in whole.metrics] == list(range(1, 10))
    assert [row["loss"] for row in resumed.metrics] == pytest.approx([row["loss"] for row in whole.metrics], abs=1e-4)
    for name, tensor in whole.weights().items():
        torch.testing.assert_close(resumed.weights()[name], tensor, atol=1e-6, rtol=1e-5, msg=name)
    assert resumed.summary.first_loss == whole.summary.first_loss
    assert (first / "reference.json").read_bytes() == before
    assert not (first / "checkpoints").exists()


def test_a_killed_sft_goes_on(rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat) -> None:
    def train(output: Path, progress: Callable[[int, int], None]) -> list[dict[str, float]]:
        metrics: list[dict[str, float]] = []
        train_sft(
            rows,
            initial=model_folder,
            output=output,
            chat=chat,
            config=SftSection(precision="f32", batch_size=2, epochs=2, learning_rate=1e-3, checkpoint_steps=3),
            seed=0,
            threads=None,
            on_progress=progress,
            on_metrics=metrics.append,
        )
        return metrics

    whole = train(tmp_path / "whole" / "model", lambda *_: None)
    with pytest.raises(Killed):
        train(tmp_path / "killed" / "model", killing(5))
    starts: list[int] = []
    resumed = train(tmp_path / "killed" / "model", lambda done, _: starts.append(done))
    assert starts[0] == 3
    assert [row["loss"] for row in resumed] == pytest.approx([row["loss"] for row in whole], abs=1e-4)


def test_a_checkpoint_of_another_training_or_a_torn_one_is_not_gone_on_with(tmp_path: Path) -> None:
    output = tmp_path / "model"
    kept = tmp_path / "checkpoints"

    def begin(key: str) -> Path | None:
        """What a training of this key would go on from; it is killed right away."""
        with contextlib.suppress(Killed), checkpoint_folder(output, key) as folder:
            found.append(last_checkpoint(folder))
            raise Killed
        return found.pop()

    found: list[Path | None] = []
    assert begin("one") is None
    for step, state in ((9, '{"step": 9}'), (10, '{"ste')):
        (kept / f"checkpoint-{step}").mkdir()
        (kept / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (kept / "checkpoint-11").mkdir()
    assert begin("one") == kept / "checkpoint-9"
    assert begin("another") is None
    with checkpoint_folder(output, "another"):
        pass
    assert not kept.exists()
    output.mkdir()
    with pytest.raises(StageFailed, match="never writes over a model"), checkpoint_folder(output, "one"):
        pass


def test_the_key_follows_settings_and_every_token() -> None:
    key = training_key({"seed": 1}, [[[1, 2], [3]]])
    assert key == training_key({"seed": 1}, [[[1, 2], [3]]])
    assert len({key, training_key({"seed": 2}, [[[1, 2], [3]]]), training_key({"seed": 1}, [[[1], [2, 3]]])}) == 3
